public import Layers
internal import Tensors

/// Phi-3 small (arXiv 2404.14219): every other layer sees blocks of keys in a pattern that differs by head; the
/// scales of maximal update parametrisation (arXiv 2203.03466); an MLP of its own.
public enum Phi3Small: Architecture {
    public static let modelTypes = ["phi3small"]

    public static func build(_ config: Phi3SmallConfig, _ weights: Parameters) throws -> some LanguageModel {
        let (width, tree) = (config.hiddenSize, weights["model"])
        let rotation = try config.rotation()
        func norm(_ weights: Parameters) throws -> LayerNorm {
            try LayerNorm(weights, width: width, epsilon: config.layerNormEpsilon ?? 1e-5)
        }
        return try CausalDecoder(
            embedding: Embedding(
                tree["embed_tokens"], vocabulary: config.vocabSize, width: width,
                scale: config.mupEmbeddingMultiplier),
            layers: (0..<config.numHiddenLayers).map { index in
                let weights = tree["layers.\(index)"]
                return try PreNormLayer(
                    attentionNorm: norm(weights["input_layernorm"]),
                    attention: attention(index, config, rotation, weights["self_attn"]),
                    feedForwardNorm: norm(weights["post_attention_layernorm"]),
                    feedForward: mlp(config, weights["mlp"]))
            },
            norm: norm(tree["final_layernorm"]),
            head: OutputHead(
                config.tiesHead ? tree["embed_tokens"] : weights["lm_head"], inputs: width,
                outputs: config.vocabSize, bias: config.logitBias,
                scale: config.mupWidthMultiplier.map { 1 / $0 }),
            rotations: [rotation])
    }

    private static func attention(
        _ index: Int, _ config: Phi3SmallConfig, _ rotation: Rotation, _ weights: Parameters
    ) throws -> GroupedQueryAttention {
        var details = GroupedQueryAttention.Details(
            rotation: rotation, reach: config.reach(layer: index))
        if config.mupUseScaling ?? true {
            details.scale = (config.mupAttnMultiplier ?? 1) / Float(config.heads.width)
        }
        return try GroupedQueryAttention(
            .grouped(weights["query_key_value"]), output: weights["dense"], width: config.hiddenSize,
            heads: config.heads, details, layer: index)
    }

    /// Gate and up projection alternate in the checkpoint.
    private static func mlp(_ config: Phi3SmallConfig, _ weights: Parameters) throws -> LimitedGatedMLP {
        try LimitedGatedMLP(
            gateUp: weights["up_proj"], down: weights["down_proj"], width: config.hiddenSize,
            inner: config.inner, limit: config.gegeluLimit)
    }

    public static func ignores(_ tensor: String, _ config: Phi3SmallConfig) -> Bool {
        tensor.hasSuffix("inv_freq") || (config.tiesHead && tensor == "lm_head.weight")
    }
}

public struct Phi3SmallConfig: Decodable, Sendable, ValidatedConfig {
    var vocabSize: Int
    var hiddenSize: Int
    var ffIntermediateSize: Int?
    var intermediateSize: Int?
    var numHiddenLayers: Int
    var numAttentionHeads: Int
    var numKeyValueHeads: Int?
    var layerNormEpsilon: Float?
    var maxPositionEmbeddings: Int?
    var ropeEmbeddingBase: Float?
    var ropePositionScale: Float?
    var ropeScaling: RopeScaling?
    var hiddenAct: String?
    var gegeluLimit: Float?
    var mupUseScaling: Bool?
    var mupAttnMultiplier: Float?
    var mupEmbeddingMultiplier: Float?
    var mupWidthMultiplier: Float?
    var blocksparseBlockSize: Int?
    var blocksparseNumLocalBlocks: Int?
    var blocksparseVertStride: Int?
    var blocksparseHomoHeadPattern: Bool?
    var denseAttentionEveryNLayers: Int?
    var dummyTokenIndices: [Int]?
    var tieWordEmbeddings: Bool?

    var tiesHead: Bool { tieWordEmbeddings ?? true }
    var inner: Int { ffIntermediateSize ?? intermediateSize ?? 4 * hiddenSize }

    var heads: Heads {
        Heads(
            query: numAttentionHeads, keyValue: numKeyValueHeads ?? numAttentionHeads,
            width: hiddenSize / numAttentionHeads)
    }

    /// Tokens that the tokenizer never gives are impossible.
    var logitBias: [Float] {
        var bias = [Float](repeating: 0, count: vocabSize)
        for index in dummyTokenIndices ?? [] { bias[index] = -.infinity }
        return bias
    }

    func reach(layer: Int) -> AttentionShape.Reach {
        if let every = denseAttentionEveryNLayers, (layer + 1).isMultiple(of: every) { return .causal }
        let stride = blocksparseVertStride ?? 8
        return .causalBlocks(
            .init(
                positions: blocksparseBlockSize ?? 64, near: blocksparseNumLocalBlocks ?? 16, stride: stride,
                headStep: blocksparseHomoHeadPattern == true ? 0 : max(1, stride / numAttentionHeads)))
    }

    func rotation() throws -> Rotation {
        try .rope(
            RopeGeometry(
                width: heads.width, theta: ropeEmbeddingBase ?? 1_000_000,
                maxPositionEmbeddings: maxPositionEmbeddings ?? 8192, pairing: .halves),
            scaling: ropeScaling ?? RopeScaling(type: "linear", factor: ropePositionScale ?? 1))
    }

    public func validate() throws(ConfigError) {
        try requirePositive(
            ("vocab_size", vocabSize), ("hidden_size", hiddenSize), ("ff_intermediate_size", inner),
            ("num_hidden_layers", numHiddenLayers), ("num_attention_heads", numAttentionHeads),
            ("num_key_value_heads", numKeyValueHeads ?? 1),
            ("blocksparse_block_size", blocksparseBlockSize ?? 64),
            ("blocksparse_num_local_blocks", blocksparseNumLocalBlocks ?? 16),
            ("blocksparse_vert_stride", blocksparseVertStride ?? 8),
            ("dense_attention_every_n_layers", denseAttentionEveryNLayers ?? 1))
        try requireHeads(("num_attention_heads", numAttentionHeads))
        try requireHeads(("hidden_size / num_attention_heads", heads.width))
        try requireMultiple(
            "num_attention_heads", numAttentionHeads, of: "num_key_value_heads", heads.keyValue)
        try requireMultiple("hidden_size", hiddenSize, of: "num_attention_heads", numAttentionHeads)
        try requireMultiple("hidden_size / num_attention_heads", heads.width, of: "2", 2)
        try requireMultiple("blocksparse_block_size", blocksparseBlockSize ?? 64, of: "32", 32)
        guard hiddenAct ?? "gegelu" == "gegelu" else {
            throw .malformed("hidden_act must be gegelu, found '\(hiddenAct ?? "")'")
        }
        if let stray = dummyTokenIndices?.first(where: { !(0..<vocabSize).contains($0) }) {
            throw .malformed("dummy_token_indices has \(stray), which is not below vocab_size (\(vocabSize))")
        }
    }
}
