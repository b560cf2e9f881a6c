public import Layers
internal import Tensors

/// LLaMA 1 to 3 (arXiv 2302.13971, 2407.21783), and the families that publish under the same names and config:
/// Mistral, Yi.
public enum Llama: Architecture {
    public static let modelTypes = ["llama", "mistral"]

    public static func build(_ config: DecoderConfig, _ weights: Parameters) throws -> some LanguageModel {
        try build(config, weights, head: config.head(weights, tied: config.tiesHead))
    }

    static func build(
        _ config: DecoderConfig, _ weights: Parameters, head: OutputHead
    ) throws -> CausalDecoder {
        let rotation = try config.rotation(weights)
        return try CausalDecoder(
            embedding: config.embedding(weights),
            layers: (0..<config.numHiddenLayers).map { index in
                try layer(index, config, rotation, weights["model.layers.\(index)"])
            },
            norm: config.rmsNorm(weights["model.norm"]), head: head, rotations: [rotation])
    }

    private static func layer(
        _ index: Int, _ config: DecoderConfig, _ rotation: Rotation, _ weights: Parameters
    ) throws -> PreNormLayer {
        try PreNormLayer(
            attentionNorm: config.rmsNorm(weights["input_layernorm"]),
            attention: config.attention(
                weights["self_attn"], .init(rotation: rotation, reach: config.reach(layer: index)),
                layer: index),
            feedForwardNorm: config.rmsNorm(weights["post_attention_layernorm"]),
            feedForward: config.mlp(weights["mlp"]))
    }

    public static func ignores(_ tensor: String, _ config: DecoderConfig) -> Bool {
        config.ignores(tensor, tied: config.tiesHead)
    }
}

extension DecoderConfig {
    /// Whether the head is the embedding's table; in LLaMA's family only if the config says so.
    var tiesHead: Bool { tieWordEmbeddings ?? false }
}
