public import Layers
internal import Tensors

/// Qwen2-MoE (arXiv 2407.10671): Qwen2 with a mixture of experts, and one expert that all tokens share behind a
/// gate of its own.
public enum Qwen2MoE: Architecture {
    public static let modelTypes = ["qwen2_moe"]

    public static func build(
        _ config: ExtendedConfig<QwenMoEExtras>, _ weights: Parameters
    ) throws -> some LanguageModel {
        try config.build(weights) { index, rotation, weights in
            let slides =
                config.shared.layerTypes.map { $0[index] == "sliding_attention" }
                ?? (index.isMultiple(of: 2) && index < config.shared.maxWindowLayers ?? 28)
            let window = config.shared.withWindowOnDemand.slidingWindow
            let reach = window.map { slides ? AttentionShape.Reach.causalWindow($0) : .causal } ?? .causal
            return try config.shared.attention(
                weights, .init(rotation: rotation, reach: reach), layer: index)
        }
    }

    public static func ignores(_ tensor: String, _ config: ExtendedConfig<QwenMoEExtras>) -> Bool {
        Llama.ignores(tensor, config.shared)
    }
}

/// Qwen3-MoE (arXiv 2505.09388): Qwen3 with a mixture of experts.
public enum Qwen3MoE: Architecture {
    public static let modelTypes = ["qwen3_moe"]

    public static func build(
        _ config: ExtendedConfig<QwenMoEExtras>, _ weights: Parameters
    ) throws -> some LanguageModel {
        var shared = config.shared.withWindowOnDemand
        shared.maxWindowLayers = nil
        return try config.build(weights) { [shared] index, rotation, weights in
            try Qwen3.attention(index, shared, rotation, weights)
        }
    }

    public static func ignores(_ tensor: String, _ config: ExtendedConfig<QwenMoEExtras>) -> Bool {
        Llama.ignores(tensor, config.shared)
    }
}

extension ExtendedConfig<QwenMoEExtras> {
    fileprivate func build(
        _ weights: Parameters, attention: (Int, Rotation, Parameters) throws -> GroupedQueryAttention
    ) throws -> CausalDecoder {
        let rotation = try shared.rotation(weights)
        return try CausalDecoder(
            embedding: shared.embedding(weights),
            layers: (0..<shared.numHiddenLayers).map { index in
                let weights = weights["model.layers.\(index)"]
                return try PreNormLayer(
                    attentionNorm: shared.rmsNorm(weights["input_layernorm"]),
                    attention: attention(index, rotation, weights["self_attn"]),
                    feedForwardNorm: shared.rmsNorm(weights["post_attention_layernorm"]),
                    feedForward: extras.isDense(layer: index)
                        ? shared.mlp(weights["mlp"]) : experts(weights["mlp"]))
            },
            norm: shared.rmsNorm(weights["model.norm"]),
            head: shared.head(weights, tied: shared.tiesHead), rotations: [rotation])
    }

    private func experts(_ weights: Parameters) throws -> MixtureOfExperts {
        let (width, activation) = (shared.hiddenSize, shared.activation)
        return try MixtureOfExperts(
            weights, router: Linear(weights["gate"], inputs: width, outputs: self.numExperts),
            experts: ExpertWeights(
                weights["experts"], count: self.numExperts, width: width, inner: self.moeIntermediateSize,
                activation: activation),
            rule: RoutingRule(chosen: self.numExpertsPerTok, normalizes: self.normTopkProb ?? false),
            shared: self.sharedExpertIntermediateSize.map {
                try GatedMLP(weights["shared_expert"], width: width, inner: $0, activation: activation)
            },
            sharedGate: self.sharedExpertIntermediateSize.map { _ in
                try Linear(weights["shared_expert_gate"], inputs: width, outputs: 1)
            })
    }
}

public struct QwenMoEExtras: ConfigExtras {
    var numExperts: Int
    var numExpertsPerTok: Int
    var moeIntermediateSize: Int
    var sharedExpertIntermediateSize: Int?
    var normTopkProb: Bool?
    var decoderSparseStep: Int?
    var mlpOnlyLayers: [Int]?

    func isDense(layer: Int) -> Bool {
        (mlpOnlyLayers ?? []).contains(layer) || !(layer + 1).isMultiple(of: decoderSparseStep ?? 1)
    }

    public func validate(_ shared: DecoderConfig) throws(ConfigError) {
        try shared.requireExperts(numExpertsPerTok, of: "num_experts", numExperts)
        try shared.requirePositive(
            ("moe_intermediate_size", moeIntermediateSize), ("decoder_sparse_step", decoderSparseStep ?? 1),
            ("shared_expert_intermediate_size", sharedExpertIntermediateSize ?? 1))
    }
}
