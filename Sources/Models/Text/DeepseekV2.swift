public import Layers
internal import Tensors

/// DeepSeek-V2 and V2-Lite (arXiv 2405.04434): latent attention, and mixtures of many small experts beside some
/// that all tokens share.
public enum DeepseekV2: Architecture {
    public static let modelTypes = ["deepseek_v2"]

    public static func build(
        _ config: ExtendedConfig<DeepseekV2Extras>, _ weights: Parameters
    ) throws -> some LanguageModel {
        let shared = config.shared
        let rotation = try config.rotation()
        return try CausalDecoder(
            embedding: shared.embedding(weights),
            layers: (0..<shared.numHiddenLayers).map { index in
                let weights = weights["model.layers.\(index)"]
                return try PreNormLayer(
                    attentionNorm: shared.rmsNorm(weights["input_layernorm"]),
                    attention: LatentAttention(
                        weights["self_attn"], config.geometry, width: shared.hiddenSize,
                        rotation: rotation, scale: config.attentionScale, epsilon: shared.rmsEpsilon,
                        layer: index),
                    feedForwardNorm: shared.rmsNorm(weights["post_attention_layernorm"]),
                    feedForward: config.isDense(layer: index)
                        ? shared.mlp(weights["mlp"]) : experts(config, weights["mlp"]))
            },
            norm: shared.rmsNorm(weights["model.norm"]),
            head: shared.head(weights, tied: shared.tiesHead), rotations: [rotation])
    }

    private static func experts(
        _ config: ExtendedConfig<DeepseekV2Extras>, _ weights: Parameters
    ) throws -> MixtureOfExperts {
        let (shared, count, inner) = (
            config.shared, config.nRoutedExperts ?? 0, config.moeIntermediateSize ?? 0
        )
        return try MixtureOfExperts(
            weights, router: Linear(weights["gate"], inputs: shared.hiddenSize, outputs: count),
            experts: ExpertWeights(
                weights["experts"], count: count, width: shared.hiddenSize, inner: inner,
                activation: shared.activation),
            rule: config.rule,
            shared: config.nSharedExperts.map {
                try GatedMLP(
                    weights["shared_experts"], width: shared.hiddenSize, inner: $0 * inner,
                    activation: shared.activation)
            })
    }

    public static func ignores(_ tensor: String, _ config: ExtendedConfig<DeepseekV2Extras>) -> Bool {
        Llama.ignores(tensor, config.shared)
    }
}

public struct DeepseekV2Extras: ConfigExtras {
    var qLoraRank: Int?
    var kvLoraRank: Int
    var qkNopeHeadDim: Int
    var qkRopeHeadDim: Int
    var vHeadDim: Int
    var nRoutedExperts: Int?
    var nSharedExperts: Int?
    var numExpertsPerTok: Int?
    var moeIntermediateSize: Int?
    var firstKDenseReplace: Int?
    var moeLayerFreq: Int?
    var normTopkProb: Bool?
    var routedScalingFactor: Float?
    var topkMethod: String?
    var scoringFunc: String?
    var nGroup: Int?
    var topkGroup: Int?

    var isGrouped: Bool { topkMethod == "group_limited_greedy" }

    public func validate(_ shared: DecoderConfig) throws(ConfigError) {
        try shared.requirePositive(
            ("q_lora_rank", qLoraRank ?? 1), ("kv_lora_rank", kvLoraRank),
            ("moe_layer_freq", moeLayerFreq ?? 1),
            ("n_shared_experts", nSharedExperts ?? 1))
        try shared.requireHeads(
            ("qk_nope_head_dim", qkNopeHeadDim), ("qk_rope_head_dim", qkRopeHeadDim),
            ("v_head_dim", vHeadDim))
        try shared.requireMultiple("qk_rope_head_dim", qkRopeHeadDim, of: "2", 2)
        guard scoringFunc ?? "softmax" == "softmax" else {
            throw .malformed("scoring_func must be softmax, found '\(scoringFunc ?? "")'")
        }
        guard ["greedy", "group_limited_greedy"].contains(topkMethod ?? "greedy") else {
            throw .malformed(
                "topk_method must be greedy or group_limited_greedy, found '\(topkMethod ?? "")'")
        }
        guard let nRoutedExperts else { return }
        try shared.requireExperts(numExpertsPerTok ?? 0, of: "n_routed_experts", nRoutedExperts)
        try shared.requirePositive(("moe_intermediate_size", moeIntermediateSize ?? 0))
        guard isGrouped else { return }
        try shared.requirePositive(("n_group", nGroup ?? 0), ("topk_group", topkGroup ?? 0))
        try shared.requireMultiple("n_routed_experts", nRoutedExperts, of: "n_group", nGroup ?? 0)
    }
}

extension ExtendedConfig<DeepseekV2Extras> {
    var geometry: LatentAttention.Geometry {
        LatentAttention.Geometry(
            heads: shared.numAttentionHeads, queryRank: extras.qLoraRank, latentWidth: extras.kvLoraRank,
            plainWidth: extras.qkNopeHeadDim, rotatedWidth: extras.qkRopeHeadDim, valueWidth: extras.vHeadDim)
    }

    func isDense(layer: Int) -> Bool {
        extras.nRoutedExperts == nil || layer < extras.firstKDenseReplace ?? 0
            || !layer.isMultiple(of: extras.moeLayerFreq ?? 1)
    }

    /// What the authors' code does: weights that were normalised are not scaled.
    var rule: RoutingRule {
        let (chosen, normalizes) = (extras.numExpertsPerTok ?? 1, extras.normTopkProb ?? false)
        return RoutingRule(
            chosen: chosen, normalizes: normalizes && chosen > 1,
            scale: normalizes && chosen > 1 ? 1 : extras.routedScalingFactor ?? 1,
            groups: extras.isGrouped
                ? .init(count: extras.nGroup ?? 1, kept: extras.topkGroup ?? 1) : nil)
    }

    /// Of the last columns of a latent key; keys and queries are rotated alike.
    func rotation() throws -> Rotation {
        var geometry = shared.ropeGeometry()
        (geometry.width, geometry.firstColumn) = (extras.qkRopeHeadDim, extras.kvLoraRank)
        geometry.pairing = .neighbours
        return try .rope(geometry, scaling: shared.scaling)
    }

    var attentionScale: Float {
        let plain = 1 / Float(extras.qkNopeHeadDim + extras.qkRopeHeadDim).squareRoot()
        guard let scaling = shared.scaling, let factor = scaling.factor, let weight = scaling.mscaleAllDim,
            weight != 0
        else { return plain }
        let sharpness = Float(Rotation.yarnMagnitude(Double(factor), weight: weight))
        return plain * sharpness * sharpness
    }
}
