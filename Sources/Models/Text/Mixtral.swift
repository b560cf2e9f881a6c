public import Layers
internal import Tensors

/// Mixtral (arXiv 2401.04088): Mistral with a mixture of experts in every layer.
public enum Mixtral: Architecture {
    public static let modelTypes = ["mixtral"]

    public static func build(
        _ config: ExtendedConfig<MixtralExtras>, _ weights: Parameters
    ) throws -> some LanguageModel {
        let shared = config.shared.defaulting(rmsNormEps: 1e-5, ropeTheta: 1_000_000)
        let rotation = try shared.rotation(weights)
        return try CausalDecoder(
            embedding: shared.embedding(weights),
            layers: (0..<shared.numHiddenLayers).map { index in
                let weights = weights["model.layers.\(index)"]
                return try PreNormLayer(
                    attentionNorm: shared.rmsNorm(weights["input_layernorm"]),
                    attention: shared.attention(
                        weights["self_attn"], .init(rotation: rotation, reach: shared.reach(layer: index)),
                        layer: index),
                    feedForwardNorm: shared.rmsNorm(weights["post_attention_layernorm"]),
                    feedForward: experts(config, weights["block_sparse_moe"]))
            },
            norm: shared.rmsNorm(weights["model.norm"]),
            head: shared.head(weights, tied: shared.tiesHead), rotations: [rotation])
    }

    private static func experts(
        _ config: ExtendedConfig<MixtralExtras>, _ weights: Parameters
    ) throws -> MixtureOfExperts {
        let width = config.shared.hiddenSize
        return try MixtureOfExperts(
            weights, router: Linear(weights["gate"], inputs: width, outputs: config.numLocalExperts),
            experts: ExpertWeights(
                weights["experts"], .init(gate: "w1", up: "w3", down: "w2"), count: config.numLocalExperts,
                width: width, inner: config.shared.intermediateSize, activation: config.shared.activation),
            rule: RoutingRule(chosen: config.numExpertsPerTok, normalizes: true))
    }

    public static func ignores(_ tensor: String, _ config: ExtendedConfig<MixtralExtras>) -> Bool {
        Llama.ignores(tensor, config.shared)
    }
}

public struct MixtralExtras: ConfigExtras {
    var numLocalExperts: Int
    var numExpertsPerTok: Int

    public func validate(_ shared: DecoderConfig) throws(ConfigError) {
        try shared.requireExperts(numExpertsPerTok, of: "num_local_experts", numLocalExperts)
    }
}
