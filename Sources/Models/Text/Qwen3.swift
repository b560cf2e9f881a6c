public import Layers
internal import Tensors

/// Qwen3 (arXiv 2505.09388): LLaMA that normalises the heads of queries and keys.
public enum Qwen3: Architecture {
    public static let modelTypes = ["qwen3"]

    public static func build(_ config: DecoderConfig, _ weights: Parameters) throws -> some LanguageModel {
        let config = config.withWindowOnDemand.defaulting(headDim: 128)
        let rotation = try config.rotation(weights)
        return try CausalDecoder(
            embedding: config.embedding(weights),
            layers: (0..<config.numHiddenLayers).map { index in
                let weights = weights["model.layers.\(index)"]
                return try PreNormLayer(
                    attentionNorm: config.rmsNorm(weights["input_layernorm"]),
                    attention: attention(index, config, rotation, weights["self_attn"]),
                    feedForwardNorm: config.rmsNorm(weights["post_attention_layernorm"]),
                    feedForward: config.mlp(weights["mlp"]))
            },
            norm: config.rmsNorm(weights["model.norm"]),
            head: config.head(weights, tied: config.tiesHead), rotations: [rotation])
    }

    static func attention(
        _ index: Int, _ config: DecoderConfig, _ rotation: Rotation, _ weights: Parameters
    ) throws -> GroupedQueryAttention {
        var details = GroupedQueryAttention.Details(
            rotation: rotation, reach: config.reach(layer: index))
        details.norms = try config.rmsHeadNorms(weights)
        return try config.attention(weights, details, layer: index)
    }

    public static func ignores(_ tensor: String, _ config: DecoderConfig) -> Bool {
        Llama.ignores(tensor, config)
    }
}
