public import Layers
internal import Tensors

/// LLaMA 1 to 3, and the families that publish under the same names and config: Mistral, Yi.
public enum Llama: Architecture {
    public static let modelTypes = ["llama", "mistral"]

    public static func build(_ config: LlamaConfig, _ weights: Parameters) throws -> some LanguageModel {
        let rotation = try config.rotation(weights)
        return try CausalDecoder(
            embedding: Embedding(
                weights["model.embed_tokens"], vocabulary: config.vocabSize, width: config.hiddenSize),
            layers: (0..<config.numHiddenLayers).map { index in
                try layer(index, config, rotation, weights["model.layers.\(index)"])
            },
            norm: RMSNorm(weights["model.norm"], width: config.hiddenSize, epsilon: config.rmsNormEps),
            head: Linear(
                weights[config.tiesHead ? "model.embed_tokens" : "lm_head"], inputs: config.hiddenSize,
                outputs: config.vocabSize),
            rotation: rotation, cache: config.cacheLayout)
    }

    static func layer(
        _ index: Int, _ config: LlamaConfig, _ rotation: Rotation, _ weights: Parameters
    ) throws -> PreNormLayer<GroupedQueryAttention, GatedMLP, RMSNorm> {
        let (attention, mlp) = (weights["self_attn"], weights["mlp"])
        let (hidden, inner, heads) = (config.hiddenSize, config.intermediateSize, config.heads)
        return try PreNormLayer(
            attentionNorm: RMSNorm(weights["input_layernorm"], width: hidden, epsilon: config.rmsNormEps),
            attention: GroupedQueryAttention(
                qkv: Linear(
                    stacking: [
                        (attention["q_proj"], heads.queryWidth), (attention["k_proj"], heads.keyValueWidth),
                        (attention["v_proj"], heads.keyValueWidth),
                    ], inputs: hidden),
                output: Linear(attention["o_proj"], inputs: heads.queryWidth, outputs: hidden),
                heads: heads, rotation: rotation, reach: config.reach(layer: index), layer: index),
            feedForwardNorm: RMSNorm(
                weights["post_attention_layernorm"], width: hidden, epsilon: config.rmsNormEps),
            feedForward: GatedMLP(
                gateUp: Linear(
                    stacking: [(mlp["gate_proj"], inner), (mlp["up_proj"], inner)], inputs: hidden),
                down: Linear(mlp["down_proj"], inputs: inner, outputs: hidden),
                activation: config.hiddenAct ?? .silu))
    }

    /// Old checkpoints carry the rotary frequencies as a buffer; a tied one may carry the head it does not use.
    public static func ignores(_ tensor: String, _ config: LlamaConfig) -> Bool {
        tensor.hasSuffix(".rotary_emb.inv_freq") || (config.tiesHead && tensor == "lm_head.weight")
    }
}

/// config.json of a LLaMA. Optional fields are the ones older checkpoints omit.
public struct LlamaConfig: Decodable, Sendable {
    var vocabSize: Int
    var hiddenSize: Int
    var intermediateSize: Int
    var numHiddenLayers: Int
    var numAttentionHeads: Int
    var numKeyValueHeads: Int?
    var headDim: Int?
    var rmsNormEps: Float
    var maxPositionEmbeddings: Int?
    var ropeTheta: Float?
    var ropeScaling: RopeScaling?
    var ropeParameters: RopeScaling?
    var ropeInterleaved: Bool?
    var hiddenAct: Activation?
    var slidingWindow: Int?
    var maxWindowLayers: Int?
    var layerTypes: [String]?
    var tieWordEmbeddings: Bool?

    var tiesHead: Bool { tieWordEmbeddings ?? false }

    var heads: Heads {
        Heads(
            query: numAttentionHeads, keyValue: numKeyValueHeads ?? numAttentionHeads,
            width: headDim ?? hiddenSize / numAttentionHeads)
    }

    var cacheLayout: CacheLayout {
        CacheLayout(
            layers: numHiddenLayers, heads: heads.keyValue, keyWidth: heads.width, valueWidth: heads.width)
    }

    /// Layers whose type says so use the window; without types those from `max_window_layers` on, or all.
    func reach(layer: Int) -> AttentionShape.Reach {
        guard let slidingWindow else { return .causal }
        let slides = layerTypes.map { $0[layer] == "sliding_attention" } ?? (layer >= maxWindowLayers ?? 0)
        return slides ? .causalWindow(slidingWindow) : .causal
    }

    /// The rotation all layers share. GGUF files of LLaMA 3.1 bring its frequency divisors as a tensor.
    func rotation(_ weights: Parameters) throws -> Rotation {
        let scaling = ropeScaling ?? ropeParameters
        let geometry = RopeGeometry(
            width: heads.width, theta: ropeTheta ?? ropeParameters?.ropeTheta ?? 10_000,
            maxPositionEmbeddings: maxPositionEmbeddings ?? 2048,
            pairing: ropeInterleaved == true ? .neighbours : .halves)
        guard weights["rope_freqs"].contains("weight") else {
            return try .rope(geometry, scaling: scaling)
        }
        return try .rope(geometry, dividedBy: weights["rope_freqs"].values("weight", count: heads.width / 2))
    }
}

extension LlamaConfig: ValidatedConfig {
    public func validate() throws(ConfigError) {
        try requirePositive(
            ("vocab_size", vocabSize), ("hidden_size", hiddenSize), ("intermediate_size", intermediateSize),
            ("num_hidden_layers", numHiddenLayers), ("num_attention_heads", numAttentionHeads),
            ("num_key_value_heads", numKeyValueHeads ?? 1), ("head_dim", headDim ?? 2),
            ("max_position_embeddings", maxPositionEmbeddings ?? 1), ("sliding_window", slidingWindow ?? 1))
        try requireMultiple(
            "num_attention_heads", numAttentionHeads, of: "num_key_value_heads", heads.keyValue)
        try requireMultiple("head_dim", heads.width, of: "2", 2)
        if let layerTypes, layerTypes.count != numHiddenLayers {
            throw .malformed("layer_types has \(layerTypes.count) entries, expected \(numHiddenLayers)")
        }
        if headDim == nil {
            try requireMultiple("hidden_size", hiddenSize, of: "num_attention_heads", numAttentionHeads)
        }
    }
}
