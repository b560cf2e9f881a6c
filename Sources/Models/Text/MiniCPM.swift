public import Layers

/// MiniCPM (arXiv 2404.06395): LLaMA with scales on the embedding, on the branches and before the head.
public enum MiniCPM: Architecture {
    public static let modelTypes = ["minicpm"]
    public static let classNames = ["MiniCPMForCausalLM"]

    public static func build(
        _ config: ExtendedConfig<MiniCPMExtras>, _ weights: Parameters
    ) throws -> some LanguageModel {
        let shared = config.shared
        let rotation = try shared.rotation(weights)
        let branchScale = (config.scaleDepth ?? 1) / Float(shared.numHiddenLayers).squareRoot()
        return try CausalDecoder(
            embedding: shared.embedding(weights, scale: config.scaleEmb ?? 1),
            layers: (0..<shared.numHiddenLayers).map { index in
                let weights = weights["model.layers.\(index)"]
                return try PreNormLayer(
                    attentionNorm: shared.rmsNorm(weights["input_layernorm"]),
                    attention: shared.attention(
                        weights["self_attn"], .init(rotation: rotation), layer: index),
                    feedForwardNorm: shared.rmsNorm(weights["post_attention_layernorm"]),
                    feedForward: shared.mlp(weights["mlp"]), branchScale: branchScale)
            },
            norm: shared.rmsNorm(weights["model.norm"]),
            head: shared.head(
                weights, tied: shared.tieWordEmbeddings ?? true,
                scale: (config.dimModelBase ?? 1) / Float(shared.hiddenSize)),
            rotations: [rotation])
    }

    public static func ignores(_ tensor: String, _ config: ExtendedConfig<MiniCPMExtras>) -> Bool {
        config.shared.ignores(tensor, tied: config.shared.tieWordEmbeddings ?? true)
    }
}

public struct MiniCPMExtras: ConfigExtras {
    var scaleEmb: Float?
    var scaleDepth: Float?
    var dimModelBase: Float?

    public func validate(_ shared: DecoderConfig) throws(ConfigError) {}
}
