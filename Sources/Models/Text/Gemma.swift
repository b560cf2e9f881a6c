public import Layers
internal import Tensors

/// Gemma 1 (arXiv 2403.08295): LLaMA with scaled embeddings, GeGLU, and norms that multiply by one plus their
/// weight.
public enum Gemma: Architecture {
    public static let modelTypes = ["gemma"]

    public static func build(
        _ config: ExtendedConfig<GemmaExtras>, _ weights: Parameters
    ) throws -> some LanguageModel {
        let (shared, offset) = (config.gemma, config.normOffset)
        let rotation = try shared.rotation(weights)
        return try CausalDecoder(
            embedding: shared.embedding(weights, scale: Float(shared.hiddenSize).squareRoot()),
            layers: (0..<shared.numHiddenLayers).map { index in
                let weights = weights["model.layers.\(index)"]
                return try PreNormLayer(
                    attentionNorm: shared.rmsNorm(weights["input_layernorm"], offset: offset),
                    attention: shared.attention(
                        weights["self_attn"], .init(rotation: rotation), layer: index),
                    feedForwardNorm: shared.rmsNorm(weights["post_attention_layernorm"], offset: offset),
                    feedForward: shared.mlp(weights["mlp"]))
            },
            norm: shared.rmsNorm(weights["model.norm"], offset: offset),
            head: shared.head(weights, tied: config.tiesHead), rotations: [rotation])
    }

    public static func ignores(_ tensor: String, _ config: ExtendedConfig<GemmaExtras>) -> Bool {
        config.shared.ignores(tensor, tied: config.tiesHead)
    }
}

/// Gemma 2 (arXiv 2408.00118) and the text model of Gemma 3 (arXiv 2503.19786): Gemma with norms on both sides of
/// each branch and layers that see a window. Gemma 2 bounds its scores and logits; Gemma 3 normalises heads and
/// rotates the layers with a window by another base.
public enum Gemma2: Architecture {
    public static let modelTypes = ["gemma2", "gemma3_text"]

    public static func build(
        _ config: ExtendedConfig<GemmaExtras>, _ weights: Parameters
    ) throws -> some LanguageModel {
        let (shared, offset) = (config.gemma, config.normOffset)
        let rotations = try config.rotations()
        return try CausalDecoder(
            embedding: shared.embedding(weights, scale: Float(shared.hiddenSize).squareRoot()),
            layers: (0..<shared.numHiddenLayers).map { index in
                let weights = weights["model.layers.\(index)"]
                func norm(_ name: String) throws -> RMSNorm {
                    try shared.rmsNorm(weights[name], offset: offset)
                }
                return try SandwichLayer(
                    attentionNorms: (norm("input_layernorm"), norm("post_attention_layernorm")),
                    attention: attention(index, config, rotations, weights["self_attn"]),
                    feedForwardNorms: (
                        norm("pre_feedforward_layernorm"), norm("post_feedforward_layernorm")
                    ),
                    feedForward: shared.mlp(weights["mlp"]))
            },
            norm: shared.rmsNorm(weights["model.norm"], offset: offset),
            head: shared.head(
                weights, tied: config.tiesHead,
                softcap: config.cap(config.finalLogitSoftcapping, "finalLogitSoftcapping", usual: 30)),
            rotations: [rotations.global, rotations.local])
    }

    private static func attention(
        _ index: Int, _ config: ExtendedConfig<GemmaExtras>, _ rotations: (global: Rotation, local: Rotation),
        _ weights: Parameters
    ) throws -> GroupedQueryAttention {
        let (shared, slides) = (config.gemma, config.slides(layer: index))
        var details = GroupedQueryAttention.Details(
            rotation: slides ? rotations.local : rotations.global,
            reach: slides ? .causalWindow(shared.slidingWindow ?? 4096) : .causal)
        details.scale = 1 / (config.queryPreAttnScalar ?? 256).squareRoot()
        details.softcap = config.cap(config.attnLogitSoftcapping, "attnLogitSoftcapping", usual: 50)
        if config.isGemma3 { details.norms = try shared.rmsHeadNorms(weights, offset: config.normOffset) }
        return try shared.attention(weights, details, layer: index)
    }

    public static func ignores(_ tensor: String, _ config: ExtendedConfig<GemmaExtras>) -> Bool {
        config.shared.ignores(tensor, tied: config.tiesHead)
    }
}

public struct GemmaExtras: ConfigExtras {
    /// Rotary embeddings by type of layer.
    struct Rotations: Decodable, Sendable { var fullAttention, slidingAttention: RopeScaling? }

    var modelType: String
    var hiddenActivation: Activation?
    var queryPreAttnScalar: Float?
    var attnLogitSoftcapping: Float?
    var finalLogitSoftcapping: Float?
    var slidingWindowPattern: Int?
    var ropeLocalBaseFreq: Float?
    var ropeParameters: Rotations?
    /// Converters to GGUF add the one to the weights.
    var normWeightsIncludeOne: Bool?

    var isGemma3: Bool { modelType == "gemma3_text" }
    var normOffset: Float { normWeightsIncludeOne == true ? 0 : 1 }

    public func validate(_ shared: DecoderConfig) throws(ConfigError) {
        try shared.requirePositive(("sliding_window_pattern", slidingWindowPattern ?? 1))
        for (key, value) in [
            ("query_pre_attn_scalar", queryPreAttnScalar), ("attn_logit_softcapping", attnLogitSoftcapping),
            ("final_logit_softcapping", finalLogitSoftcapping),
        ] where value.map({ $0 <= 0 }) ?? false {
            throw .malformed("\(key) must be positive, found \(value ?? 0)")
        }
    }
}

extension ExtendedConfig<GemmaExtras> {
    fileprivate var tiesHead: Bool { shared.tieWordEmbeddings ?? true }

    /// The shared keys with Gemma's defaults. `hidden_act` says "gelu" in old configs and means its tanh form.
    fileprivate var gemma: DecoderConfig {
        var config = shared
        config.headDim = shared.headDim ?? 256
        let activation = self.hiddenActivation ?? shared.hiddenAct ?? .geluTanh
        config.hiddenAct = activation == .gelu && self.hiddenActivation == nil ? .geluTanh : activation
        return config
    }

    /// A bound that Gemma 2 has unless the config says that there is none.
    fileprivate func cap(_ value: Float?, _ key: String, usual: Float) -> Float? {
        value ?? (extras.isGemma3 || mentions(key) ? nil : usual)
    }

    fileprivate func slides(layer: Int) -> Bool {
        if let types = shared.layerTypes { return types[layer] == "sliding_attention" }
        return !(layer + 1).isMultiple(of: extras.isGemma3 ? self.slidingWindowPattern ?? 6 : 2)
    }

    /// Of layers that see everything, and of those that see a window.
    fileprivate func rotations() throws -> (global: Rotation, local: Rotation) {
        let (full, sliding) = (self.ropeParameters?.fullAttention, self.ropeParameters?.slidingAttention)
        let theta = shared.ropeTheta ?? full?.ropeTheta ?? shared.ropeParameters?.ropeTheta
        let global = try Rotation.rope(
            gemma.ropeGeometry(theta: theta ?? (extras.isGemma3 ? 1_000_000 : 10_000)),
            scaling: shared.ropeScaling ?? full ?? shared.ropeParameters)
        guard extras.isGemma3 else { return (global, global) }
        let local = gemma.ropeGeometry(theta: self.ropeLocalBaseFreq ?? sliding?.ropeTheta ?? 10_000)
        return (global, try .rope(local, scaling: sliding))
    }
}
