public import Layers
internal import Tensors

/// StableLM 3B and 2 (arXiv 2402.17834): LayerNorm, the first columns of each head rotated; the 12B model
/// normalises each head by its own weights and has its branches side by side.
public enum StableLM: Architecture {
    public static let modelTypes = ["stablelm", "stablelm_epoch"]

    public static func build(
        _ config: ExtendedConfig<StableLMExtras>, _ weights: Parameters
    ) throws -> some LanguageModel {
        let shared = config.completed
        let rotation = try shared.rotation(weights)
        return try CausalDecoder(
            embedding: shared.embedding(weights),
            layers: (0..<shared.numHiddenLayers).map { index in
                try layer(index, config, rotation, weights["model.layers.\(index)"])
            },
            norm: shared.layerNorm(weights["model.norm"]),
            head: shared.head(weights, tied: shared.tiesHead), rotations: [rotation])
    }

    private static func layer(
        _ index: Int, _ config: ExtendedConfig<StableLMExtras>, _ rotation: Rotation, _ weights: Parameters
    ) throws -> any DecoderLayer {
        let (shared, own) = (config.completed, weights["self_attn"])
        var details = GroupedQueryAttention.Details(rotation: rotation)
        func norm(_ name: String, _ heads: Int) throws -> HeadNorm {
            if own[name].contains("weight") {
                return try HeadNorm(
                    own[name], heads: heads, width: shared.heads.width, by: .deviation,
                    epsilon: shared.layerEpsilon)
            }
            return try HeadNorm(
                heads: (0..<heads).map { own["\(name).norms.\($0)"] }, width: shared.heads.width,
                by: .deviation, epsilon: shared.layerEpsilon)
        }
        if config.qkLayernorm == true {
            details.norms = (
                try norm("q_layernorm", shared.heads.query), try norm("k_layernorm", shared.heads.keyValue)
            )
        }
        let before = try shared.layerNorm(weights["input_layernorm"])
        let attention = try shared.attention(own, details, layer: index)
        let mlp = try shared.mlp(weights["mlp"])
        guard config.useParallelResidual != true else {
            return ParallelLayer(norm: before, attention: attention, feedForward: mlp)
        }
        return try PreNormLayer(
            attentionNorm: before, attention: attention,
            feedForwardNorm: shared.layerNorm(weights["post_attention_layernorm"]), feedForward: mlp)
    }

    public static func ignores(_ tensor: String, _ config: ExtendedConfig<StableLMExtras>) -> Bool {
        config.shared.ignores(tensor, tied: config.shared.tiesHead)
    }
}

public struct StableLMExtras: ConfigExtras {
    var qkLayernorm: Bool?
    var useParallelResidual: Bool?
    /// As early checkpoints call `partial_rotary_factor` and `layer_norm_eps`.
    var ropePct: Float?
    var normEps: Float?

    public func validate(_ shared: DecoderConfig) throws(ConfigError) {
        try completing(shared).validate()
    }

    func completing(_ shared: DecoderConfig) -> DecoderConfig {
        var config = shared
        config.partialRotaryFactor =
            shared.partialRotaryFactor ?? shared.ropeParameters?.partialRotaryFactor ?? ropePct ?? 0.25
        config.layerNormEps = shared.layerNormEps ?? normEps
        return config
    }
}

extension ExtendedConfig<StableLMExtras> {
    fileprivate var completed: DecoderConfig { extras.completing(shared) }
}
