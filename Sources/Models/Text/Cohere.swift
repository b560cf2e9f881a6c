public import Layers
internal import Tensors

/// Command-R and Command-R+: attention and feed-forward side by side, LayerNorm, neighbouring columns rotated,
/// scaled logits; R+ normalises the heads of queries and keys.
public enum Cohere: Architecture {
    public static let modelTypes = ["cohere"]

    public static func build(
        _ config: ExtendedConfig<CohereExtras>, _ weights: Parameters
    ) throws -> some LanguageModel {
        var shared = config.shared.defaulting(ropeTheta: 500_000)
        shared.ropeInterleaved = true
        let rotation = try shared.rotation(weights)
        return try CausalDecoder(
            embedding: shared.embedding(weights),
            layers: (0..<shared.numHiddenLayers).map { [shared] index in
                let weights = weights["model.layers.\(index)"]
                return try ParallelLayer(
                    norm: shared.layerNorm(weights["input_layernorm"]),
                    attention: attention(index, config, rotation, weights["self_attn"]),
                    feedForward: shared.mlp(weights["mlp"]))
            },
            norm: shared.layerNorm(weights["model.norm"]),
            head: shared.head(
                weights, tied: shared.tieWordEmbeddings ?? true, scale: config.logitScale ?? 0.0625),
            rotations: [rotation])
    }

    private static func attention(
        _ index: Int, _ config: ExtendedConfig<CohereExtras>, _ rotation: Rotation, _ weights: Parameters
    ) throws -> GroupedQueryAttention {
        let (shared, heads) = (config.shared, config.shared.heads)
        var details = GroupedQueryAttention.Details(rotation: rotation)
        func norm(_ name: String, _ count: Int) throws -> HeadNorm {
            try HeadNorm(
                weights[name], heads: count, width: heads.width, by: .deviation,
                epsilon: shared.layerEpsilon)
        }
        if config.useQkNorm == true {
            details.norms = (try norm("q_norm", heads.query), try norm("k_norm", heads.keyValue))
        }
        return try shared.attention(weights, details, layer: index)
    }

    public static func ignores(_ tensor: String, _ config: ExtendedConfig<CohereExtras>) -> Bool {
        config.shared.ignores(tensor, tied: config.shared.tieWordEmbeddings ?? true)
    }
}

public struct CohereExtras: ConfigExtras {
    var logitScale: Float?
    var useQkNorm: Bool?

    public func validate(_ shared: DecoderConfig) throws(ConfigError) {}
}
