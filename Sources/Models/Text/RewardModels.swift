public import Layers

/// InternLM2's reward models: one number for the last hidden state instead of logits.
public enum InternLM2Reward: Architecture {
    public static let modelTypes: [String] = []
    public static let classNames = ["InternLM2ForRewardModel"]

    public static func build(_ config: DecoderConfig, _ weights: Parameters) throws -> some LanguageModel {
        try InternLM2.build(
            config, weights,
            head: OutputHead(score: Linear(weights["v_head"], inputs: config.hiddenSize, outputs: 1)))
    }

    public static func ignores(_ tensor: String, _ config: DecoderConfig) -> Bool {
        InternLM2.ignores(tensor, config) || tensor == "output.weight"
    }
}

/// Qwen2's reward models: two layers with a ReLU between them on the last hidden state.
public enum Qwen2Reward: Architecture {
    public static let modelTypes: [String] = []
    public static let classNames = ["Qwen2ForRewardModel"]

    public static func build(_ config: DecoderConfig, _ weights: Parameters) throws -> some LanguageModel {
        let width = config.hiddenSize
        return try Llama.build(
            config.withWindowOnDemand, weights,
            head: OutputHead(
                score: Linear(weights["score.0"], inputs: width, outputs: width),
                Linear(weights["score.2"], inputs: width, outputs: 1)))
    }

    public static func ignores(_ tensor: String, _ config: DecoderConfig) -> Bool {
        Llama.ignores(tensor, config) || tensor == "lm_head.weight"
    }
}
