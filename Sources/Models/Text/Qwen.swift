import Foundation
public import Layers
internal import Tensors

/// Qwen 1 (arXiv 2309.16609): q, k and v in one matrix with biases; beyond the length it was trained for, another
/// rotary base (dynamic NTK) and queries that grow with the logarithm of their position (log-n).
public enum Qwen: Architecture {
    public static let modelTypes = ["qwen"]

    public static func build(_ config: QwenConfig, _ weights: Parameters) throws -> some LanguageModel {
        let width = config.hiddenSize
        let tree = weights["transformer"]
        let rotation = config.rotation
        func norm(_ weights: Parameters) throws -> RMSNorm {
            try RMSNorm(weights, width: width, epsilon: config.layerNormEpsilon ?? 1e-6)
        }
        return try CausalDecoder(
            embedding: Embedding(tree["wte"], vocabulary: config.vocabSize, width: width),
            layers: (0..<config.numHiddenLayers).map { index in
                let weights = tree["h.\(index)"]
                var details = GroupedQueryAttention.Details(rotation: rotation)
                details.queryFactor = config.queryFactor
                return try PreNormLayer(
                    attentionNorm: norm(weights["ln_1"]),
                    attention: GroupedQueryAttention(
                        .stacked(weights["attn.c_attn"]), output: weights["attn.c_proj"], width: width,
                        heads: config.heads, details, layer: index),
                    feedForwardNorm: norm(weights["ln_2"]),
                    feedForward: GatedMLP(
                        weights["mlp"], .init(gate: "w2", up: "w1", down: "c_proj"), width: width,
                        inner: config.intermediateSize / 2, activation: .silu))
            },
            norm: norm(tree["ln_f"]),
            head: OutputHead(
                config.tieWordEmbeddings == true ? tree["wte"] : weights["lm_head"], inputs: width,
                outputs: config.vocabSize),
            rotations: [rotation])
    }

    public static func ignores(_ tensor: String, _ config: QwenConfig) -> Bool {
        tensor.hasSuffix("rotary_emb.inv_freq")
            || (config.tieWordEmbeddings == true && tensor == "lm_head.weight")
    }
}

public struct QwenConfig: Decodable, Sendable, ValidatedConfig {
    var vocabSize: Int
    var hiddenSize: Int
    /// Gate and up projection together.
    var intermediateSize: Int
    var numHiddenLayers: Int
    var numAttentionHeads: Int
    var kvChannels: Int?
    var layerNormEpsilon: Float?
    var rotaryEmbBase: Float?
    var rotaryPct: Float?
    var seqLength: Int
    var useDynamicNtk: Bool?
    var useLognAttn: Bool?
    var tieWordEmbeddings: Bool?

    var heads: Heads {
        Heads(
            query: numAttentionHeads, keyValue: numAttentionHeads,
            width: kvChannels ?? hiddenSize / numAttentionHeads)
    }

    private var rotatedColumns: Int { Int((Float(heads.width) * (rotaryPct ?? 1)).rounded(.down)) }

    /// Each time the sequence is twice as long again, the base grows.
    var rotation: Rotation {
        let geometry = RopeGeometry(
            width: rotatedColumns, theta: rotaryEmbBase ?? 10_000, maxPositionEmbeddings: seqLength,
            pairing: .halves)
        guard useDynamicNtk == true, rotatedColumns > 2 else { return .rope(geometry) }
        let (trained, width) = (Double(seqLength), Double(rotatedColumns))
        return .rope(geometry) { length in
            let alpha = max(pow(2, (log2(Double(length) / trained) + 1).rounded(.up)) - 1, 1)
            return Double(geometry.theta) * pow(alpha, width / (width - 2))
        }
    }

    /// By what queries beyond the trained length are multiplied.
    var queryFactor: (@Sendable (Int) -> Float)? {
        guard useLognAttn == true else { return nil }
        let trained = seqLength
        return { position in
            position < trained ? 1 : Float(log(Double(position + 1)) / log(Double(trained)))
        }
    }

    public func validate() throws(ConfigError) {
        try requirePositive(
            ("vocab_size", vocabSize), ("hidden_size", hiddenSize), ("intermediate_size", intermediateSize),
            ("num_hidden_layers", numHiddenLayers), ("num_attention_heads", numAttentionHeads),
            ("kv_channels", kvChannels ?? 1), ("seq_length", seqLength))
        try requireHeads(("num_attention_heads", numAttentionHeads))
        try requireHeads(("kv_channels", heads.width))
        try requireMultiple("intermediate_size", intermediateSize, of: "2", 2)
        if kvChannels == nil {
            try requireMultiple("hidden_size", hiddenSize, of: "num_attention_heads", numAttentionHeads)
        }
        guard (rotaryPct ?? 1) > 0, (rotaryPct ?? 1) <= 1 else {
            throw .malformed("rotary_pct must be in (0, 1], found \(rotaryPct ?? 1)")
        }
        try requirePositive(("rotated columns of a head", rotatedColumns))
        try requireMultiple("rotated columns of a head", rotatedColumns, of: "2", 2)
        if useLognAttn == true, seqLength < 2 { throw .outOfRange("seq_length", found: seqLength) }
    }
}
