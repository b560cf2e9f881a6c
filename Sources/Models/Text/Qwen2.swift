public import Layers

/// Qwen1.5, Qwen2 and Qwen2.5 (arXiv 2407.10671): LLaMA whose q, k and v have biases. `Linear` finds those in the
/// checkpoint, so all that differs is a sliding window that config.json may describe but not switch on.
public enum Qwen2: Architecture {
    public static let modelTypes = ["qwen2"]

    public static func build(_ config: DecoderConfig, _ weights: Parameters) throws -> some LanguageModel {
        try Llama.build(config.withWindowOnDemand, weights)
    }

    public static func ignores(_ tensor: String, _ config: DecoderConfig) -> Bool {
        Llama.ignores(tensor, config)
    }
}
