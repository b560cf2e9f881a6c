import Images
internal import Layers
internal import Tensors

/// The vision half of CLIP (arXiv 2103.00020) and the projection that LLaVA puts on it: the patches of one square, a
/// vector for the whole before them, pre-norm layers; features are the states of a layer before the last.
struct CLIPTower: ImageTower {
    let tileSize: Int
    let patches: PatchLayout
    let tokensPerTile: Int
    let width: Int
    let tilesAtOnce = 4
    let backend: any Backend
    private let embedding: PatchEmbedding
    private let preNorm: LayerNorm
    private let layers: [PreNormLayer]
    private let cache: PatchCache
    private let projector: PlainMLP
    private let keepsClassToken: Bool

    /// - Parameters:
    ///   - depth: How many layers the features have gone through.
    ///   - keepsClassToken: Whether the vector for the whole is a feature.
    init(
        _ config: CLIPVisionConfig, _ weights: Parameters, depth: Int, keepsClassToken: Bool,
        projector: PlainMLP, width: Int, normalization: PixelNormalization
    ) throws {
        let hidden = config.hiddenSize, count = config.patches * config.patches
        (tileSize, self.width, backend) = (config.imageSize, width, weights.backend)
        (self.projector, self.keepsClassToken) = (projector, keepsClassToken)
        patches = PatchLayout(size: config.patchSize, normalization)
        tokensPerTile = count + (keepsClassToken ? 1 : 0)
        let embeddings = weights["embeddings"]
        embedding = PatchEmbedding(
            try Linear(
                embeddings["patch_embedding"], kernel: [3, config.patchSize, config.patchSize],
                outputs: hidden),
            classToken: try embeddings.values("class_embedding", count: hidden),
            positions: try embeddings["position_embedding"].values("weight", shape: [count + 1, hidden]),
            on: backend)
        func norm(_ weights: Parameters) throws -> LayerNorm {
            try LayerNorm(weights, width: hidden, epsilon: config.layerNormEps ?? 1e-5)
        }
        preNorm = try norm(weights["pre_layrnorm"])
        layers = try (0..<depth).map { index in
            let weights = weights["encoder.layers.\(index)"]
            let (attention, mlp) = (weights["self_attn"], weights["mlp"])
            return try PreNormLayer(
                attentionNorm: norm(weights["layer_norm1"]),
                attention: GroupedQueryAttention(
                    .separate(
                        query: attention["q_proj"], key: attention["k_proj"], value: attention["v_proj"]),
                    output: attention["out_proj"], width: hidden, heads: config.heads,
                    .init(reach: .everything), layer: 0),
                feedForwardNorm: norm(weights["layer_norm2"]),
                feedForward: PlainMLP(
                    up: mlp["fc1"], down: mlp["fc2"], width: hidden, inner: config.intermediateSize,
                    activation: config.hiddenAct ?? .quickGelu))
        }
        cache = try PatchCache(
            embeddings["patch_embedding"], heads: config.heads, patches: tilesAtOnce * (count + 1))
    }

    func callAsFunction(_ patches: Matrix, tiles: Int) -> Matrix {
        let pass = cache.pass(Array(repeating: embedding.length, count: tiles))
        var x = ResidualStream(preNorm(embedding(patches, images: tiles)))
        for layer in layers { layer(&x, pass) }
        let states = x.normalized(by: NoNorm())
        return projector(keepsClassToken ? states : embedding.patchRows(of: states, images: tiles))
    }
}

/// The `vision_config` of a CLIP model.
struct CLIPVisionConfig: Decodable, Sendable, PatchTransformerConfig {
    var hiddenSize: Int
    var imageSize: Int
    var intermediateSize: Int
    var numAttentionHeads: Int
    var numHiddenLayers: Int
    var patchSize: Int
    var hiddenAct: Activation?
    var layerNormEps: Float?

    /// Patches of a side.
    var patches: Int { imageSize / patchSize }
}
