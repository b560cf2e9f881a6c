import Images
public import JSON
public import Layers
internal import Tensors
public import Weights

/// InternVL-Chat 1.5 and 2 (arXiv 2404.16821): InternViT looks at an image in tiles of a fitting aspect and as a whole;
/// each four patches become a token that any text architecture reads.
public enum InternVL: Architecture {
    public static let modelTypes = ["internvl_chat"]

    public static func build(_ config: InternVLConfig, _ weights: Parameters) throws -> VisionLanguageModel {
        let text = try config.llmConfig.build(weights["language_model"])
        guard let images = weights.forImages else {
            for part in ["vision_model", "mlp1"] { weights[part].disregardAll() }
            return VisionLanguageModel(text, nil)
        }
        let tower = try InternViT(config, images)
        // The network's own copies that nothing reads.
        images["vision_model"].disregardAll()
        var marks = ImageMarks(.between(.text("<img>"), .text("</img>")), text: "<image>\n")
        marks.shorthand = "<image>"
        return VisionLanguageModel(text, TiledImageEncoder(tower, config.tiling, marks))
    }

    public static func completed(_ configuration: JSONValue, of checkpoint: any Checkpoint) throws
        -> JSONValue
    {
        try configuration.withPreprocessor(of: checkpoint)
    }

    public static func ignores(_ tensor: String, _ config: InternVLConfig) -> Bool {
        tensor.removingPrefix("language_model.").map { config.llmConfig.ignores($0) } ?? false
    }
}

/// Pre-norm layers with a scale on each branch, over the patches of a tile and a vector for the whole before them.
struct InternViT: ImageTower {
    let tileSize: Int
    let patches: PatchLayout
    let width: Int
    let tilesAtOnce = 4
    let backend: any Backend
    private let side: Int
    private let ratio: Int
    private let isTransposed: Bool
    private let embedding: PatchEmbedding
    private let layers: [PreNormLayer]
    private let cache: PatchCache
    private let projectorNorm: LayerNorm
    private let projector: PlainMLP

    var tokensPerTile: Int { side / ratio * (side / ratio) }

    init(_ config: InternVLConfig, _ weights: Parameters) throws {
        let vision = config.visionConfig, hidden = vision.hiddenSize
        (tileSize, side, ratio) = (config.tileSize, config.tileSize / vision.patchSize, config.ratio)
        (width, backend, isTransposed) = (config.llmConfig.width, weights.backend, config.psVersion == "v1")
        patches = PatchLayout(
            size: vision.patchSize, try config.preprocessorConfig.normalization(.imageNet))
        let embeddings = weights["vision_model.embeddings"]
        let kernel = [3, vision.patchSize, vision.patchSize]
        embedding = PatchEmbedding(
            try Linear(embeddings["patch_embedding"], kernel: kernel, outputs: hidden),
            classToken: try embeddings.values("class_embedding", shape: [1, 1, hidden]),
            positions: try vision.positions(embeddings, side: side), on: backend)
        layers = try (0..<vision.numHiddenLayers).map {
            try vision.layer(weights["vision_model.encoder.layers.\($0)"])
        }
        cache = try PatchCache(
            embeddings["patch_embedding"], heads: vision.heads, patches: tilesAtOnce * (side * side + 1))
        let mlp = weights["mlp1"], inner = hidden * ratio * ratio
        projectorNorm = try LayerNorm(mlp["0"], width: inner, epsilon: 1e-5)
        projector = try PlainMLP(
            up: mlp["1"], down: mlp["3"], width: inner, inner: width, outputs: width, activation: .gelu)
    }

    func callAsFunction(_ patches: Matrix, tiles: Int) -> Matrix {
        let pass = cache.pass(Array(repeating: embedding.length, count: tiles))
        var x = ResidualStream(embedding(patches, images: tiles))
        for layer in layers { layer(&x, pass) }
        return projector(projectorNorm(shuffled(x.normalized(by: NoNorm()), tiles: tiles)))
    }

    /// Patches that lie in a square side by side as one row (pixel shuffle).
    private func shuffled(_ x: Matrix, tiles: Int) -> Matrix {
        let small = side / ratio
        var sources: [Int32] = []
        for tile in 0..<tiles {
            for token in 0..<small * small {
                let (a, b) = (token / small, token % small)
                let (row, column) = isTransposed ? (b, a) : (a, b)
                for part in 0..<ratio * ratio {
                    let patch = (row * ratio + part / ratio) * side + column * ratio + part % ratio
                    sources.append(Int32(tile * embedding.length + 1 + patch))
                }
            }
        }
        let y = x.backend.makeMatrix(rows: sources.count, columns: x.columns)
        x.backend.gatherRows(sources, of: x, into: y)
        return y.reshaped(columns: x.columns * ratio * ratio)
    }
}

public struct InternVLConfig: Decodable, Sendable, ValidatedConfig {
    var llmConfig: HeldModel
    var visionConfig: InternViTConfig
    var downsampleRatio: Float?
    var forceImageSize: Int?
    var dynamicImageSize: Bool?
    var minDynamicPatch: Int?
    var maxDynamicPatch: Int?
    var useThumbnail: Bool?
    var psVersion: String?
    var selectLayer: Int?
    var preprocessorConfig: PreprocessorConfig?

    var tileSize: Int { forceImageSize ?? visionConfig.imageSize }
    /// Patches of a token's side.
    var ratio: Int { Int((1 / (downsampleRatio ?? 0.5)).rounded()) }

    var tiling: FittingTiles {
        FittingTiles(
            counts: dynamicImageSize == true
                ? (minDynamicPatch ?? 1)...(maxDynamicPatch ?? 6) : 1...1,
            hasThumbnail: dynamicImageSize == true && useThumbnail == true, tileSize: tileSize)
    }

    public func validate() throws(ConfigError) {
        try visionConfig.validate()
        try requireTile(tileSize, patch: visionConfig.patchSize)
        let scale = downsampleRatio ?? 0.5
        guard scale >= 1 / 64, scale <= 1 else {
            throw .malformed("downsample_ratio must be from 1/64 to 1, found \(scale)")
        }
        try requireMultiple(
            "patches of a tile's side", tileSize / visionConfig.patchSize, of: "downsample_ratio", ratio)
        let (least, most) = (minDynamicPatch ?? 1, maxDynamicPatch ?? 6)
        guard least >= 1, least <= most, most <= 64 else {
            throw .malformed(
                "min_dynamic_patch and max_dynamic_patch must be from 1 to 64, found \(least) and \(most)")
        }
        guard selectLayer ?? -1 == -1 else {
            throw .malformed("select_layer must be -1, found \(selectLayer ?? -1)")
        }
    }
}

struct InternViTConfig: Decodable, Sendable, PatchTransformerConfig {
    var hiddenSize: Int
    var imageSize: Int
    var intermediateSize: Int
    var numAttentionHeads: Int
    var numHiddenLayers: Int
    var patchSize: Int
    var hiddenAct: Activation?
    var layerNormEps: Float?
    var normType: String?
    var qkNormalization: Bool?

    private func norm(_ weights: Parameters) throws -> any Normalization {
        let epsilon = layerNormEps ?? 1e-6
        return normType == "rms_norm"
            ? try RMSNorm(weights, width: hiddenSize, epsilon: epsilon)
            : try LayerNorm(weights, width: hiddenSize, epsilon: epsilon)
    }

    func layer(_ weights: Parameters) throws -> PreNormLayer {
        var details = GroupedQueryAttention.Details(reach: .everything)
        let attention = weights["attn"]
        if qkNormalization == true {
            // Over all heads together.
            func norm(_ name: String) throws -> HeadNorm {
                try HeadNorm(
                    joint: attention[name], width: hiddenSize, by: .rootMeanSquare,
                    epsilon: layerNormEps ?? 1e-6)
            }
            details.norms = (try norm("q_norm"), try norm("k_norm"))
        }
        return try PreNormLayer(
            attentionNorm: norm(weights["norm1"]),
            attention: ScaledAttention(
                GroupedQueryAttention(
                    .stacked(attention["qkv"]), output: attention["proj"], width: hiddenSize, heads: heads,
                    details, layer: 0),
                by: LayerScale(weights, "ls1", width: hiddenSize)),
            feedForwardNorm: norm(weights["norm2"]),
            feedForward: ScaledFeedForward(
                PlainMLP(
                    up: weights["mlp.fc1"], down: weights["mlp.fc2"], width: hiddenSize,
                    inner: intermediateSize, activation: hiddenAct ?? .gelu),
                by: LayerScale(weights, "ls2", width: hiddenSize)))
    }

    /// Positions of the vector for the whole, then of `side` patches a side.
    func positions(_ weights: Parameters, side: Int) throws -> [Float] {
        let trained = imageSize / patchSize
        let values = try weights.values(
            "position_embedding", shape: [1, trained * trained + 1, hiddenSize])
        let grid = PositionGrid(
            side: trained, width: hiddenSize, values: Array(values.dropFirst(hiddenSize)))
        return values.prefix(hiddenSize) + grid.interpolated(side: side)
    }
}

/// Tiles in the rows and columns that come closest to the image's aspect, and the whole image after them.
struct FittingTiles: ImageTiling {
    /// How many tiles there may be.
    let counts: ClosedRange<Int>
    let hasThumbnail: Bool
    let tileSize: Int

    var mostTiles: Int { counts.upperBound + (hasThumbnail && counts.upperBound > 1 ? 1 : 0) }

    var longestSide: Int { .max }

    func count(width: Int, height: Int) -> Int {
        let grid = grid(width: width, height: height)
        let count = grid.columns * grid.rows
        return count + (hasThumbnail && count > 1 ? 1 : 0)
    }

    /// Of grids as close, those with more tiles are taken for images that have more than half their pixels.
    func grid(width: Int, height: Int) -> ImageGrid {
        let aspect = Double(width) / Double(height)
        var best = ImageGrid(rows: 1, columns: 1)
        var least = Double.infinity
        for grid in candidates {
            let difference = abs(aspect - Double(grid.columns) / Double(grid.rows))
            let half = Double(tileSize * tileSize * grid.columns * grid.rows) / 2
            if difference < least {
                (best, least) = (grid, difference)
            } else if difference == least, Double(width * height) > half {
                best = grid
            }
        }
        return best
    }

    private var candidates: [ImageGrid] {
        let most = counts.upperBound
        let all = (1...most).flatMap { columns in
            (1...most).map { ImageGrid(rows: $0, columns: columns) }
        }
        let fitting = all.filter { counts.contains($0.rows * $0.columns) }
        // Sorting must keep the order of those that are alike.
        return (1...most).flatMap { count in fitting.filter { $0.rows * $0.columns == count } }
    }

    func tiles(_ image: PixelImage, size: Int) -> [PixelImage] {
        let grid = grid(width: image.width, height: image.height)
        let whole = image.resized(width: grid.columns * size, height: grid.rows * size, by: .bicubic)
        var tiles = (0..<grid.rows * grid.columns).map { index in
            whole.cropped(
                x: index % grid.columns * size, y: index / grid.columns * size, width: size, height: size)
        }
        if hasThumbnail, tiles.count > 1 {
            tiles.append(image.resized(width: size, height: size, by: .bicubic))
        }
        return tiles
    }
}
