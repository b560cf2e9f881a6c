public import Layers
internal import Tensors

/// BLOOM (arXiv 2211.05100): ALiBi instead of rotary positions, LayerNorm with bias, also right after the
/// embedding, and an MLP without gate.
public enum Bloom: Architecture {
    public static let modelTypes = ["bloom"]

    public static func build(_ config: BloomConfig, _ weights: Parameters) throws -> some LanguageModel {
        let weights = weights["word_embeddings"].contains("weight") ? weights : weights["transformer"]
        let width = config.width
        func norm(_ weights: Parameters) throws -> LayerNorm {
            try LayerNorm(weights, width: width, epsilon: config.layerNormEpsilon ?? 1e-5)
        }
        return try CausalDecoder(
            embedding: Embedding(
                weights["word_embeddings"], vocabulary: config.vocabSize, width: width,
                norm: norm(weights["word_embeddings_layernorm"])),
            layers: (0..<config.layers).map { index in
                let weights = weights["h.\(index)"]
                let norms = (
                    try norm(weights["input_layernorm"]), try norm(weights["post_attention_layernorm"])
                )
                let attention = try attention(index, config, weights["self_attention"])
                let mlp = try PlainMLP(
                    up: weights["mlp.dense_h_to_4h"], down: weights["mlp.dense_4h_to_h"], width: width,
                    inner: config.inner, activation: .geluTanh)
                guard config.applyResidualConnectionPostLayernorm != true else {
                    return NormedResidualLayer(
                        attentionNorm: norms.0, attention: attention, feedForwardNorm: norms.1,
                        feedForward: mlp)
                }
                return PreNormLayer(
                    attentionNorm: norms.0, attention: attention, feedForwardNorm: norms.1, feedForward: mlp)
            },
            norm: norm(weights["ln_f"]),
            head: OutputHead(weights["word_embeddings"], inputs: width, outputs: config.vocabSize),
            rotations: [])
    }

    private static func attention(
        _ index: Int, _ config: BloomConfig, _ weights: Parameters
    ) throws -> GroupedQueryAttention {
        let (width, heads) = (config.width, config.heads)
        var details = GroupedQueryAttention.Details()
        details.slopes = ALiBi.slopes(heads: heads.query)
        let qkv = weights["query_key_value"]
        return try GroupedQueryAttention(
            config.qkvIsStacked == true ? .stacked(qkv) : .grouped(qkv), output: weights["dense"],
            width: width, heads: heads, details, layer: index)
    }

    public static func ignores(_ tensor: String, _ config: BloomConfig) -> Bool { tensor == "lm_head.weight" }
}

/// config.json of a BLOOM, under its older names too.
public struct BloomConfig: Decodable, Sendable, ValidatedConfig {
    var vocabSize: Int
    var hiddenSize: Int?
    var nEmbed: Int?
    var numHiddenLayers: Int?
    var nLayer: Int?
    var numAttentionHeads: Int?
    var nHead: Int?
    var nInner: Int?
    var layerNormEpsilon: Float?
    var applyResidualConnectionPostLayernorm: Bool?
    /// Converters to GGUF put queries, keys and values one after the other.
    var qkvIsStacked: Bool?

    var width: Int { hiddenSize ?? nEmbed ?? 0 }
    var inner: Int { nInner ?? 4 * width }
    var layers: Int { numHiddenLayers ?? nLayer ?? 0 }
    private var headCount: Int { numAttentionHeads ?? nHead ?? 0 }
    var heads: Heads { Heads(query: headCount, keyValue: headCount, width: width / headCount) }

    public func validate() throws(ConfigError) {
        try requirePositive(
            ("vocab_size", vocabSize), ("hidden_size", width), ("n_layer", layers), ("n_head", headCount),
            ("n_inner", nInner ?? 1))
        try requireHeads(("n_head", headCount))
        try requireHeads(("hidden_size / n_head", heads.width))
        try requireMultiple("hidden_size", width, of: "n_head", headCount)
    }
}
