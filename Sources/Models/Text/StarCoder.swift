public import Layers
internal import Tensors

/// StarCoder (gpt_bigcode, arXiv 2305.06161): learned positions, one key-value head for all queries, LayerNorm,
/// an MLP without gate, biases.
public enum StarCoder: Architecture {
    public static let modelTypes = ["gpt_bigcode"]

    public static func build(_ config: StarCoderConfig, _ weights: Parameters) throws -> some LanguageModel {
        let width = config.nEmbd
        let tree = weights["transformer"]
        func norm(_ weights: Parameters) throws -> LayerNorm {
            try LayerNorm(weights, width: width, epsilon: config.layerNormEpsilon ?? 1e-5)
        }
        return try CausalDecoder(
            embedding: Embedding(
                tree["wte"], vocabulary: config.vocabSize, width: width,
                positions: (tree["wpe"], config.nPositions)),
            layers: (0..<config.nLayer).map { index in
                let weights = tree["h.\(index)"]
                return try PreNormLayer(
                    attentionNorm: norm(weights["ln_1"]),
                    attention: GroupedQueryAttention(
                        .grouped(weights["attn.c_attn"]), output: weights["attn.c_proj"], width: width,
                        heads: config.heads, config.details, layer: index),
                    feedForwardNorm: norm(weights["ln_2"]),
                    feedForward: PlainMLP(
                        up: weights["mlp.c_fc"], down: weights["mlp.c_proj"], width: width,
                        inner: config.inner,
                        activation: config.activationFunction ?? .geluTanh))
            },
            norm: norm(tree["ln_f"]),
            head: OutputHead(
                config.tieWordEmbeddings ?? true ? tree["wte"] : weights["lm_head"], inputs: width,
                outputs: config.vocabSize),
            rotations: [])
    }

    public static func ignores(_ tensor: String, _ config: StarCoderConfig) -> Bool {
        tensor.hasSuffix(".attn.bias") || tensor.hasSuffix(".attn.masked_bias")
            || (config.tieWordEmbeddings ?? true && tensor == "lm_head.weight")
    }
}

public struct StarCoderConfig: Decodable, Sendable, ValidatedConfig {
    var vocabSize: Int
    var nEmbd: Int
    var nHead: Int
    var nLayer: Int
    var nInner: Int?
    var nPositions: Int
    var layerNormEpsilon: Float?
    var activationFunction: Activation?
    var multiQuery: Bool?
    var scaleAttnWeights: Bool?
    var tieWordEmbeddings: Bool?

    var inner: Int { nInner ?? 4 * nEmbd }

    var heads: Heads { Heads(query: nHead, keyValue: multiQuery ?? true ? 1 : nHead, width: nEmbd / nHead) }

    var details: GroupedQueryAttention.Details {
        var details = GroupedQueryAttention.Details()
        if scaleAttnWeights == false { details.scale = 1 }
        return details
    }

    public func validate() throws(ConfigError) {
        try requirePositive(
            ("vocab_size", vocabSize), ("n_embd", nEmbd), ("n_head", nHead), ("n_layer", nLayer),
            ("n_inner", nInner ?? 1), ("n_positions", nPositions))
        try requireHeads(("n_head", nHead))
        try requireHeads(("n_embd / n_head", heads.width))
        try requireMultiple("n_embd", nEmbd, of: "n_head", nHead)
    }
}
