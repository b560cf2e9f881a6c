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
            norm: config.rmsNorm(weights["model.norm"]), head: head, rotations: [rotation],
            cache: config.cacheLayout)
    }

    private static func layer(
        _ index: Int, _ config: DecoderConfig, _ rotation: Rotation, _ weights: Parameters
    ) throws -> PreNormLayer {
        let (attention, mlp) = (weights["attention"], weights["feed_forward"])
        let (hidden, inner, heads) = (config.hiddenSize, config.intermediateSize, config.heads)
        return try PreNormLayer(
            attentionNorm: config.rmsNorm(weights["attention_norm"]),
            attention: GroupedQueryAttention(
                qkv: Linear(
                    attention["wqkv"], inputs: hidden, outputs: heads.stackedWidth, order: heads.grouped),
                output: Linear(attention["wo"], inputs: heads.queryWidth, outputs: hidden),
                heads: heads, .init(rotation: rotation), layer: index),
            feedForwardNorm: config.rmsNorm(weights["ffn_norm"]),
            feedForward: GatedMLP(
                gateUp: Linear(stacking: [(mlp["w1"], inner), (mlp["w3"], inner)], inputs: hidden),
                down: Linear(mlp["w2"], inputs: inner, outputs: hidden), activation: config.activation))
    }

    public static func ignores(_ tensor: String, _ config: DecoderConfig) -> Bool {
        tensor.hasSuffix(".rotary_emb.inv_freq") || (config.tiesHead && tensor == "output.weight")
    }
}
