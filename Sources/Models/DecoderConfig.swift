internal import Layers
internal import Tensors

/// The keys of config.json that most families share, under the names that LLaMA gave them. Optional fields are
/// the ones that some checkpoints omit.
public struct DecoderConfig: Decodable, Sendable {
    var vocabSize: Int
    var hiddenSize: Int
    var intermediateSize: Int
    var numHiddenLayers: Int
    var numAttentionHeads: Int
    var numKeyValueHeads: Int?
    var headDim: Int?
    var rmsNormEps: Float?
    var layerNormEps: Float?
    var maxPositionEmbeddings: Int?
    var originalMaxPositionEmbeddings: Int?
    var ropeTheta: Float?
    var ropeScaling: RopeScaling?
    var ropeParameters: RopeScaling?
    var partialRotaryFactor: Float?
    var ropeInterleaved: Bool?
    var hiddenAct: Activation?
    var slidingWindow: Int?
    var useSlidingWindow: Bool?
    var maxWindowLayers: Int?
    var layerTypes: [String]?
    var tieWordEmbeddings: Bool?

    var heads: Heads {
        Heads(
            query: numAttentionHeads, keyValue: numKeyValueHeads ?? numAttentionHeads,
            width: headDim ?? hiddenSize / numAttentionHeads)
    }

    var activation: Activation { hiddenAct ?? .silu }
    var rmsEpsilon: Float { rmsNormEps ?? 1e-6 }
    var layerEpsilon: Float { layerNormEps ?? 1e-5 }

    /// The same with a family's own defaults for what the checkpoint leaves out.
    func defaulting(
        rmsNormEps: Float? = nil, ropeTheta: Float? = nil, headDim: Int? = nil
    ) -> DecoderConfig {
        var config = self
        config.rmsNormEps = self.rmsNormEps ?? rmsNormEps
        config.ropeTheta = self.ropeTheta ?? ropeParameters?.ropeTheta ?? ropeScaling?.ropeTheta ?? ropeTheta
        config.headDim = self.headDim ?? headDim
        return config
    }

    /// The same with a window only if the config says that it is used; some families describe one in any case.
    var withWindowOnDemand: DecoderConfig {
        var config = self
        if useSlidingWindow != true { config.slidingWindow = nil }
        return config
    }

    /// Layers whose type says so use the window; without types those from `max_window_layers` on, or all.
    func reach(layer: Int) -> AttentionShape.Reach {
        guard let slidingWindow else { return .causal }
        let slides = layerTypes.map { $0[layer] == "sliding_attention" } ?? (layer >= maxWindowLayers ?? 0)
        return slides ? .causalWindow(slidingWindow) : .causal
    }

    /// Columns of a head that are rotated, and how.
    func ropeGeometry(theta: Float? = nil) -> RopeGeometry {
        let part = partialRotaryFactor ?? ropeParameters?.partialRotaryFactor ?? 1
        return RopeGeometry(
            // A little more, lest rounding take a column away.
            width: Int((Float(heads.width) * part + 1e-3).rounded(.down)),
            theta: theta ?? ropeTheta ?? ropeParameters?.ropeTheta ?? ropeScaling?.ropeTheta ?? 10_000,
            maxPositionEmbeddings: maxPositionEmbeddings ?? 2048,
            pairing: ropeInterleaved == true ? .neighbours : .halves)
    }

    /// What config.json says about stretching the context.
    var scaling: RopeScaling? {
        guard var scaling = ropeScaling ?? ropeParameters else { return nil }
        let original = scaling.originalMaxPositionEmbeddings ?? originalMaxPositionEmbeddings
        scaling.originalMaxPositionEmbeddings = original
        return scaling
    }

    /// The rotation all layers share. GGUF files bring the frequency divisors of LLaMA 3.1 and of LongRoPE as
    /// tensors.
    func rotation(_ weights: Parameters) throws -> Rotation {
        let geometry = ropeGeometry()
        if weights["rope_factors_long"].contains("weight"), var scaling {
            scaling.longFactor = try weights["rope_factors_long"].values("weight", count: geometry.width / 2)
            scaling.shortFactor = try weights["rope_factors_short"].values(
                "weight", count: geometry.width / 2)
            return try .rope(geometry, scaling: scaling)
        }
        guard weights["rope_freqs"].contains("weight") else {
            return try .rope(geometry, scaling: scaling)
        }
        return try .rope(
            geometry, dividedBy: weights["rope_freqs"].values("weight", count: geometry.width / 2))
    }
}

extension DecoderConfig: ValidatedConfig {
    public func validate() throws(ConfigError) {
        try requirePositive(
            ("vocab_size", vocabSize), ("hidden_size", hiddenSize), ("intermediate_size", intermediateSize),
            ("num_hidden_layers", numHiddenLayers),
            ("max_position_embeddings", maxPositionEmbeddings ?? 1), ("sliding_window", slidingWindow ?? 1))
        try requireHeads(
            ("num_attention_heads", numAttentionHeads), ("num_key_value_heads", numKeyValueHeads ?? 1))
        try requireHeads(("head_dim", heads.width))
        try requireMultiple(
            "num_attention_heads", numAttentionHeads, of: "num_key_value_heads", heads.keyValue)
        try requireMultiple("head_dim", heads.width, of: "2", 2)
        if headDim == nil {
            try requireMultiple("hidden_size", hiddenSize, of: "num_attention_heads", numAttentionHeads)
        }
        if let layerTypes, layerTypes.count != numHiddenLayers {
            throw .malformed("layer_types has \(layerTypes.count) entries, expected \(numHiddenLayers)")
        }
        let part = partialRotaryFactor ?? ropeParameters?.partialRotaryFactor ?? 1
        guard part > 0, part <= 1 else {
            throw .malformed("partial_rotary_factor must be in (0, 1], found \(part)")
        }
        try requirePositive(("rotated columns of a head", ropeGeometry().width))
        try requireMultiple("rotated columns of a head", ropeGeometry().width, of: "2", 2)
    }
}

/// What a family's config.json says beside the shared keys.
public protocol ConfigExtras: Decodable, Sendable {
    func validate(_ shared: DecoderConfig) throws(ConfigError)
}

/// A config.json with the shared keys and some of the family's own, which read like members.
@dynamicMemberLookup
public struct ExtendedConfig<Extras: ConfigExtras>: Decodable, Sendable, ValidatedConfig {
    var shared: DecoderConfig
    let extras: Extras
    private let keys: Set<String>

    public init(from decoder: any Decoder) throws {
        (shared, extras) = (try DecoderConfig(from: decoder), try Extras(from: decoder))
        keys = Set(try decoder.container(keyedBy: AnyKey.self).allKeys.map(\.stringValue))
    }

    /// Whether the config says something about `key`, if only that it is null.
    func mentions(_ key: String) -> Bool { keys.contains(key) }

    public subscript<Value>(dynamicMember key: KeyPath<Extras, Value>) -> Value { extras[keyPath: key] }

    public func validate() throws(ConfigError) {
        try shared.validate()
        try extras.validate(shared)
    }
}

/// Whatever key there is.
private struct AnyKey: CodingKey {
    let stringValue: String
    var intValue: Int? { nil }

    init?(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
}
