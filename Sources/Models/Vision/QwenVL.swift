import Images
public import JSON
public import Layers
internal import Tensors
import Weights

/// Qwen-VL and Qwen-VL-Chat (arXiv 2308.12966): Qwen, and an OpenCLIP-like transformer over a square of patches that a
/// resampler makes 256 features of.
public enum QwenVL: Architecture {
    public static let modelTypes: [String] = []

    /// Qwen's model type, and a part that sees.
    public static func claims(_ configuration: JSONValue) -> Bool {
        configuration["model_type"]?.string == "qwen" && configuration["visual"]?.object != nil
    }

    public static func build(_ config: QwenVLConfig, _ weights: Parameters) throws -> VisionLanguageModel {
        let text = try Qwen.build(config.text, weights)
        guard let images = weights.forImages else {
            weights["transformer.visual"].disregardAll()
            return VisionLanguageModel(text, nil)
        }
        let tower = try QwenVisualTower(config.visual, images["transformer.visual"])
        guard tower.width == config.text.hiddenSize else {
            throw ConfigError.malformed(
                "visual.output_dim must be hidden_size (\(config.text.hiddenSize)), found \(tower.width)")
        }
        let start = config.visual.imageStartId ?? 151_857
        var marks = ImageMarks(.between(.id(start), .id(start + 1)), text: "<img></img>")
        marks.isNumbered = true
        return VisionLanguageModel(text, TiledImageEncoder(tower, WholeImage.stretched, marks))
    }

    public static func ignores(_ tensor: String, _ config: QwenVLConfig) -> Bool {
        Qwen.ignores(tensor, config.text)
    }
}

/// Features of the patches of a square, resampled to as many as the trained grid has places.
struct QwenVisualTower: ImageTower {
    let tileSize: Int
    let patches: PatchLayout
    let tokensPerTile: Int
    let width: Int
    let tilesAtOnce = 2
    let backend: any Backend
    private let embedding: PatchEmbedding
    private let preNorm: LayerNorm
    private let layers: [PreNormLayer]
    private let cache: PatchCache
    private let resampler: Resampler
    private let postNorm: LayerNorm
    private let projection: Linear

    private static let epsilon: Float = 1e-6

    init(_ config: QwenVisualConfig, _ weights: Parameters) throws {
        let (hidden, side) = (config.width, config.imageSize / config.patchSize)
        (tileSize, width, backend) = (config.imageSize, config.outputDim, weights.backend)
        tokensPerTile = config.queries * config.queries
        patches = PatchLayout(
            size: config.patchSize, try Optional<PreprocessorConfig>.none.normalization(.clip))
        let positions = try weights.values("positional_embedding", shape: [256, hidden])
        embedding = PatchEmbedding(
            try Linear(
                weights["conv1"], kernel: [3, config.patchSize, config.patchSize], outputs: hidden),
            classToken: nil,
            positions: PositionGrid(side: 16, width: hidden, values: positions).interpolated(side: side),
            on: backend)
        func norm(_ name: String, _ width: Int) throws -> LayerNorm {
            try LayerNorm(weights[name], width: width, epsilon: Self.epsilon)
        }
        preNorm = try norm("ln_pre", hidden)
        layers = try (0..<config.layers).map {
            try Self.layer(config, weights["transformer.resblocks.\($0)"])
        }
        cache = try PatchCache(
            weights["conv1"], heads: config.layerHeads, patches: tilesAtOnce * side * side)
        resampler = try Resampler(
            weights["attn_pool"], queries: config.queries, side: side, inputs: hidden,
            heads: config.resamplerHeads, epsilon: Self.epsilon, images: tilesAtOnce)
        postNorm = try norm("ln_post", width)
        projection = try Linear(transposing: weights, "proj", inputs: width, outputs: width)
    }

    /// Queries, keys and values lie side by side head by head.
    private static func layer(_ config: QwenVisualConfig, _ weights: Parameters) throws -> PreNormLayer {
        let (hidden, heads) = (config.width, config.layerHeads)
        let inner = Int(Double(hidden) * config.mlpRatio)
        func norm(_ name: String) throws -> LayerNorm {
            try LayerNorm(weights[name], width: hidden, epsilon: epsilon)
        }
        return try PreNormLayer(
            attentionNorm: norm("ln_1"),
            attention: GroupedQueryAttention(
                .grouped(weights["attn.in_proj"]), output: weights["attn.out_proj"], width: hidden,
                heads: heads, .init(reach: .everything), layer: 0),
            feedForwardNorm: norm("ln_2"),
            feedForward: PlainMLP(
                up: weights["mlp.c_fc"], down: weights["mlp.c_proj"], width: hidden, inner: inner,
                activation: .gelu))
    }

    func callAsFunction(_ patches: Matrix, tiles: Int) -> Matrix {
        let pass = cache.pass(Array(repeating: embedding.length, count: tiles))
        var x = ResidualStream(preNorm(embedding(patches, images: tiles)))
        for layer in layers { layer(&x, pass) }
        return projection(postNorm(resampler(x.normalized(by: NoNorm()), images: tiles)))
    }
}

public struct QwenVLConfig: Decodable, Sendable, ValidatedConfig {
    let text: QwenConfig
    let visual: QwenVisualConfig

    private enum Key: String, CodingKey { case visual }

    public init(from decoder: any Decoder) throws {
        text = try QwenConfig(from: decoder)
        visual = try decoder.container(keyedBy: Key.self).decode(QwenVisualConfig.self, forKey: .visual)
    }

    public func validate() throws(ConfigError) {
        try text.validate()
        try visual.validate()
    }
}

/// The `visual` part of the configuration.
struct QwenVisualConfig: Decodable, Sendable, ValidatedConfig {
    var imageSize: Int
    var patchSize: Int
    var width: Int
    var layers: Int
    var heads: Int
    var mlpRatio: Double
    var outputDim: Int
    var nQueries: Int?
    var imageStartId: Int32?

    /// Queries of a side of their square.
    var queries: Int { Int(Double(nQueries ?? 256).squareRoot()) }
    var layerHeads: Heads { Heads(query: heads, keyValue: heads, width: width / heads) }
    var resamplerHeads: Heads {
        let count = max(outputDim / 128, 1)
        return Heads(query: count, keyValue: count, width: outputDim / count)
    }

    func validate() throws(ConfigError) {
        try requirePositive(
            ("visual.image_size", imageSize), ("visual.patch_size", patchSize), ("visual.width", width),
            ("visual.layers", layers), ("visual.output_dim", outputDim), ("visual.n_queries", nQueries ?? 256)
        )
        try requireHeads(("visual.heads", heads))
        try requireMultiple("visual.width", width, of: "visual.heads", heads)
        try requireTile(imageSize, patch: patchSize)
        guard queries * queries == nQueries ?? 256 else {
            throw .malformed("visual.n_queries must be a square, found \(nQueries ?? 256)")
        }
        guard mlpRatio > 0, mlpRatio < 64 else {
            throw .malformed("visual.mlp_ratio must be in (0, 64), found \(mlpRatio)")
        }
    }
}
