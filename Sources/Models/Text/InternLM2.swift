public import Layers
internal import Tensors

/// InternLM2 and 2.5 (arXiv 2403.17297): LLaMA under names of its own, with queries, keys and values in one matrix,
/// group by group.
public enum InternLM2: Architecture {
    public static let modelTypes = ["internlm2"]

    public static func build(_ config: DecoderConfig, _ weights: Parameters) throws -> some LanguageModel {
        let head = config.tiesHead ? "model.tok_embeddings" : "output"
        return try build(
            config, weights,
            head: OutputHead(weights[head], inputs: config.hiddenSize, outputs: config.vocabSize))
    }

    static func build(
        _ config: DecoderConfig, _ weights: Parameters, head: OutputHead
    ) throws -> CausalDecoder {
        let rotation = try config.rotation(weights)
        return try CausalDecoder(
            embedding: Embedding(
                weights["model.tok_embeddings"], vocabulary: config.vocabSize, width: config.hiddenSize),
            layers: (0..<config.numHiddenLayers).map { index in
                try layer(index, config, rotation, weights["model.layers.\(index)"])
            },
            norm: config.rmsNorm(weights["model.norm"]), head: head, rotations: [rotation])
    }

    private static func layer(
        _ index: Int, _ config: DecoderConfig, _ rotation: Rotation, _ weights: Parameters
    ) throws -> PreNormLayer {
        let attention = weights["attention"]
        return try PreNormLayer(
            attentionNorm: config.rmsNorm(weights["attention_norm"]),
            attention: GroupedQueryAttention(
                .grouped(attention["wqkv"]), output: attention["wo"], width: config.hiddenSize,
                heads: config.heads, .init(rotation: rotation), layer: index),
            feedForwardNorm: config.rmsNorm(weights["ffn_norm"]),
            feedForward: GatedMLP(
                weights["feed_forward"], .init(gate: "w1", up: "w3", down: "w2"), width: config.hiddenSize,
                inner: config.intermediateSize, activation: config.activation))
    }

    public static func ignores(_ tensor: String, _ config: DecoderConfig) -> Bool {
        tensor.hasSuffix(".rotary_emb.inv_freq") || (config.tiesHead && tensor == "output.weight")
    }
}
