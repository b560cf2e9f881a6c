public import Layers
internal import Tensors

/// StarCoder 2 (arXiv 2402.19173): grouped queries, LayerNorm, an MLP without gate, biases, a window.
public enum StarCoder2: Architecture {
    public static let modelTypes = ["starcoder2"]

    public static func build(
        _ config: ExtendedConfig<StarCoder2Extras>, _ weights: Parameters
    ) throws -> some LanguageModel {
        var shared = config.shared
        shared.layerNormEps = config.normEpsilon ?? shared.layerNormEps
        let rotation = try shared.rotation(weights)
        return try CausalDecoder(
            embedding: shared.embedding(weights),
            layers: (0..<shared.numHiddenLayers).map { [shared] index in
                let weights = weights["model.layers.\(index)"]
                return try PreNormLayer(
                    attentionNorm: shared.layerNorm(weights["input_layernorm"]),
                    attention: shared.attention(
                        weights["self_attn"], .init(rotation: rotation, reach: shared.reach(layer: index)),
                        layer: index),
                    feedForwardNorm: shared.layerNorm(weights["post_attention_layernorm"]),
                    feedForward: PlainMLP(
                        up: weights["mlp.c_fc"], down: weights["mlp.c_proj"], width: shared.hiddenSize,
                        inner: shared.intermediateSize, activation: shared.hiddenAct ?? .geluTanh))
            },
            norm: shared.layerNorm(weights["model.norm"]),
            head: shared.head(weights, tied: shared.tieWordEmbeddings ?? true),
            rotations: [rotation])
    }

    public static func ignores(_ tensor: String, _ config: ExtendedConfig<StarCoder2Extras>) -> Bool {
        config.shared.ignores(tensor, tied: config.shared.tieWordEmbeddings ?? true)
    }
}

public struct StarCoder2Extras: ConfigExtras {
    var normEpsilon: Float?

    public func validate(_ shared: DecoderConfig) throws(ConfigError) {}
}
