public import Layers
internal import Tensors

/// Phi-3 mini and medium (arXiv 2404.14219): LLaMA with q, k and v in one matrix, and gate and up in another.
public enum Phi3: Architecture {
    public static let modelTypes = ["phi3"]

    public static func build(_ config: DecoderConfig, _ weights: Parameters) throws -> some LanguageModel {
        let config = config.defaulting(rmsNormEps: 1e-5)
        let rotation = try config.rotation(weights)
        return try CausalDecoder(
            embedding: config.embedding(weights),
            layers: (0..<config.numHiddenLayers).map { index in
                try layer(index, config, rotation, weights["model.layers.\(index)"])
            },
            norm: config.rmsNorm(weights["model.norm"]),
            head: config.head(weights, tied: config.tiesHead), rotations: [rotation])
    }

    private static func layer(
        _ index: Int, _ config: DecoderConfig, _ rotation: Rotation, _ weights: Parameters
    ) throws -> PreNormLayer {
        let (attention, mlp) = (weights["self_attn"], weights["mlp"])
        return try PreNormLayer(
            attentionNorm: config.rmsNorm(weights["input_layernorm"]),
            attention: GroupedQueryAttention(
                .stacked(attention["qkv_proj"]), output: attention["o_proj"], width: config.hiddenSize,
                heads: config.heads, .init(rotation: rotation, reach: config.reach(layer: index)),
                layer: index),
            feedForwardNorm: config.rmsNorm(weights["post_attention_layernorm"]),
            feedForward: GatedMLP(
                gateUp: mlp["gate_up_proj"], down: mlp["down_proj"], width: config.hiddenSize,
                inner: config.intermediateSize, activation: config.activation))
    }

    public static func ignores(_ tensor: String, _ config: DecoderConfig) -> Bool {
        Llama.ignores(tensor, config)
    }
}
