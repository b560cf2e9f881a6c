public import Layers
internal import Tensors

/// ChatGLM 2 and 3 (arXiv 2406.12793): few key-value heads, q, k and v in one matrix with biases, and
/// neighbouring columns rotated in the first half of each head.
public enum ChatGLM2: Architecture {
    public static let modelTypes = ["chatglm"]

    public static func build(_ config: ChatGLM2Config, _ weights: Parameters) throws -> some LanguageModel {
        let tree = weights["transformer"], width = config.hiddenSize
        let rotation = config.rotation
        return try CausalDecoder(
            embedding: Embedding(
                tree["embedding.word_embeddings"], vocabulary: config.paddedVocabSize, width: width),
            layers: (0..<config.numLayers).map { index in
                try layer(index, config, rotation, tree["encoder.layers.\(index)"])
            },
            norm: config.postLayerNorm ?? true ? config.norm(tree["encoder.final_layernorm"]) : NoNorm(),
            head: OutputHead(
                tree[config.tieWordEmbeddings == true ? "embedding.word_embeddings" : "output_layer"],
                inputs: width, outputs: config.paddedVocabSize),
            rotations: [rotation])
    }

    private static func layer(
        _ index: Int, _ config: ChatGLM2Config, _ rotation: Rotation, _ weights: Parameters
    ) throws -> any DecoderLayer {
        let (own, mlp, width) = (weights["self_attention"], weights["mlp"], config.hiddenSize)
        let attention = try GroupedQueryAttention(
            .stacked(own["query_key_value"]), output: own["dense"], width: width, heads: config.heads,
            .init(rotation: rotation), layer: index)
        let gated = try GatedMLP(
            gateUp: mlp["dense_h_to_4h"], down: mlp["dense_4h_to_h"], width: width,
            inner: config.ffnHiddenSize, activation: .silu)
        let norms = (
            try config.norm(weights["input_layernorm"]), try config.norm(weights["post_attention_layernorm"])
        )
        guard config.applyResidualConnectionPostLayernorm != true else {
            return NormedResidualLayer(
                attentionNorm: norms.0, attention: attention, feedForwardNorm: norms.1, feedForward: gated)
        }
        return PreNormLayer(
            attentionNorm: norms.0, attention: attention, feedForwardNorm: norms.1, feedForward: gated)
    }

    public static func ignores(_ tensor: String, _ config: ChatGLM2Config) -> Bool {
        tensor == "transformer.rotary_pos_emb.inv_freq"
            || (config.tieWordEmbeddings == true && tensor == "transformer.output_layer.weight")
    }
}

public struct ChatGLM2Config: Decodable, Sendable, ValidatedConfig {
    var paddedVocabSize: Int
    var hiddenSize: Int
    var ffnHiddenSize: Int
    var numLayers: Int
    var numAttentionHeads: Int
    var kvChannels: Int?
    var multiQueryAttention: Bool?
    var multiQueryGroupNum: Int?
    var layernormEpsilon: Float?
    var rmsnorm: Bool?
    var postLayerNorm: Bool?
    var ropeRatio: Float?
    var seqLength: Int?
    var applyResidualConnectionPostLayernorm: Bool?
    var tieWordEmbeddings: Bool?

    var heads: Heads {
        let groups = multiQueryAttention == true ? multiQueryGroupNum ?? 1 : numAttentionHeads
        return Heads(
            query: numAttentionHeads, keyValue: groups, width: kvChannels ?? hiddenSize / numAttentionHeads)
    }

    var rotation: Rotation {
        .rope(
            RopeGeometry(
                width: heads.width / 2, theta: 10_000 * (ropeRatio ?? 1),
                maxPositionEmbeddings: seqLength ?? 2048, pairing: .neighbours))
    }

    func norm(_ weights: Parameters) throws -> any Normalization {
        let epsilon = layernormEpsilon ?? 1e-5
        return rmsnorm ?? true
            ? try RMSNorm(weights, width: hiddenSize, epsilon: epsilon)
            : try LayerNorm(weights, width: hiddenSize, epsilon: epsilon)
    }

    public func validate() throws(ConfigError) {
        try requirePositive(
            ("padded_vocab_size", paddedVocabSize), ("hidden_size", hiddenSize),
            ("ffn_hidden_size", ffnHiddenSize), ("num_layers", numLayers),
            ("num_attention_heads", numAttentionHeads), ("kv_channels", kvChannels ?? 1),
            ("multi_query_group_num", multiQueryGroupNum ?? 1))
        try requireHeads(("num_attention_heads", numAttentionHeads))
        try requireHeads(("kv_channels", heads.width))
        if kvChannels == nil {
            try requireMultiple("hidden_size", hiddenSize, of: "num_attention_heads", numAttentionHeads)
        }
        try requireMultiple(
            "num_attention_heads", numAttentionHeads, of: "multi_query_group_num", heads.keyValue)
        try requireMultiple("kv_channels", heads.width, of: "4", 4)
    }
}
