import Images
internal import Layers
internal import Tensors

/// The transformer over the patches of images of any size, and the merger that makes a token of each square of them.
struct Qwen2VisionEncoder: ImageEncoder {
    let marks: ImageMarks
    let width: Int
    let mostTokens: Int
    private let unit: Int
    private let merge: Int
    private let pixels: ClosedRange<Int>
    private let patches: PatchLayout
    private let window: Int?
    private let backend: any Backend
    private let embedding: Linear
    private let layers: [(layer: PreNormLayer, seesWindow: Bool)]
    private let cache: PatchCache
    private let mergerNorm: any Normalization
    private let merger: PlainMLP

    /// - Parameter pixels: Within which number images are brought.
    init(
        _ config: Qwen2VisionConfig, _ weights: Parameters, pixels: ClosedRange<Int>,
        normalization: PixelNormalization, marks: ImageMarks
    ) throws {
        merge = config.spatialMergeSize
        unit = config.patchSize * merge
        (self.marks, self.pixels, width) = (marks, pixels, config.outputs)
        (window, backend) = (config.window, weights.backend)
        mostTokens = Self.mostTokens(pixels, unit: unit)
        patches = PatchLayout(size: config.patchSize, frames: config.temporalPatchSize, normalization)
        embedding = try Linear(
            weights["patch_embed.proj"],
            kernel: [3, config.temporalPatchSize, config.patchSize, config.patchSize],
            outputs: config.width)
        let rotation = config.rotation
        layers = try (0..<config.depth).map { index in
            let weights = weights["blocks.\(index)"], attention = weights["attn"]
            let layer = try PreNormLayer(
                attentionNorm: config.norm(weights["norm1"]),
                attention: GroupedQueryAttention(
                    .stacked(attention["qkv"]), output: attention["proj"], width: config.width,
                    heads: config.heads, .init(rotation: rotation, reach: .everything), layer: 0),
                feedForwardNorm: config.norm(weights["norm2"]),
                feedForward: config.feedForward(weights["mlp"]))
            return (layer, config.seesWindow(layer: index))
        }
        cache = try PatchCache(
            weights["patch_embed.proj"], heads: config.heads, patches: mostTokens * merge * merge)
        let inner = config.width * merge * merge, merger = weights["merger"]
        mergerNorm = try config.norm(merger["ln_q"])
        self.merger = try PlainMLP(
            up: merger["mlp.0"], down: merger["mlp.2"], width: inner, inner: inner, outputs: width,
            activation: .gelu)
    }

    var rehearsal: [PixelImage] { [PixelImage(side: Int(Double(mostTokens).squareRoot()) * unit)] }

    func plan(width: Int, height: Int) throws(ImageRefusal) -> ImagePlan {
        try ImageRefusal.check(width: width, height: height)
        let size = size(width: width, height: height)
        let grid = ImageGrid(rows: size.height / unit, columns: size.width / unit)
        guard grid.rows * grid.columns <= mostTokens else {
            throw .tooNarrow(width: width, height: height, mostRatio: ImageRefusal.mostRatio)
        }
        return ImagePlan(tokens: grid.rows * grid.columns, grid: grid)
    }

    /// As many as there is room for; more where small images grow to whole tokens a side, or a strip keeps one token's
    /// height.
    private static func mostTokens(_ pixels: ClosedRange<Int>, unit: Int) -> Int {
        let (least, most) = (
            Double(pixels.lowerBound) / Double(unit * unit), Double(pixels.upperBound) / Double(unit * unit)
        )
        let ratio = Double(ImageRefusal.mostRatio)
        // Of (a + 1)(b + 1) with a · b tokens, a and b being furthest apart.
        let grown = least + least.squareRoot() * (ratio.squareRoot() + 1 / ratio.squareRoot()) + 1
        return Int(max(most, grown, (most * ratio).squareRoot() + 1).rounded(.up))
    }

    /// Multiples of a token's side that keep the aspect and are within the number of pixels.
    private func size(width: Int, height: Int) -> (width: Int, height: Int) {
        let (w, h, unit) = (Double(width), Double(height), Double(unit))
        // A side of less than half a unit is none, which makes the image one that is too small.
        var sides = [w, h].map { ($0 / unit).rounded(.toNearestOrEven) * unit }
        if sides[0] * sides[1] > Double(pixels.upperBound) {
            let shrink = (w * h / Double(pixels.upperBound)).squareRoot()
            sides = [w, h].map { max(unit, ($0 / shrink / unit).rounded(.down) * unit) }
        } else if sides[0] * sides[1] < Double(pixels.lowerBound) {
            let growth = (Double(pixels.lowerBound) / (w * h)).squareRoot()
            sides = [w, h].map { ($0 * growth / unit).rounded(.up) * unit }
        }
        return (Int(sides[0]), Int(sides[1]))
    }

    var failure: BackendFailure? { backend.failure }

    func encode(_ images: [PixelImage]) -> [ImageFeatures] {
        let resized = images.map { image in
            let size = size(width: image.width, height: image.height)
            return image.resized(width: size.width, height: size.height, by: .bicubic)
        }
        var (features, group, tokens): ([ImageFeatures], [PixelImage], Int) = ([], [], 0)
        for image in resized {
            let count = image.width / unit * (image.height / unit)
            if tokens + count > mostTokens, !group.isEmpty {
                features += encode(together: group)
                (group, tokens) = ([], 0)
            }
            group.append(image)
            tokens += count
        }
        return group.isEmpty ? features : features + encode(together: group)
    }

    /// Images whose patches the cache holds.
    private func encode(together images: [PixelImage]) -> [ImageFeatures] {
        let grids = images.map { ImageGrid(rows: $0.height / unit, columns: $0.width / unit) }
        var numbers: [Float] = []
        for image in images { patches.append(image, block: merge, to: &numbers) }
        let input = backend.makeMatrix(rows: numbers.count / patches.columns, columns: patches.columns)
        backend.write(numbers[...], into: input)
        let order = PatchOrder(grids, merge: merge, window: window)
        let whole = cache.pass(order.images, coordinates: order.coordinates)
        let windows = cache.pass(order.windows, coordinates: order.coordinates)
        var x = ResidualStream(order.arranged(embedding(input)))
        for (layer, seesWindow) in layers { layer(&x, seesWindow ? windows : whole) }
        let states = mergerNorm(x.normalized(by: NoNorm()))
        let tokens = merger(states.reshaped(columns: states.columns * merge * merge))
        let values = order.restored(tokens).values
        var first = 0
        return grids.map { grid in
            let count = grid.rows * grid.columns * width
            defer { first += count }
            return ImageFeatures(
                rows: grid.rows * grid.columns, columns: width, values: Array(values[first..<first + count]))
        }
    }
}

/// In which order the patches of images are looked at: token by token, those of a window side by side.
struct PatchOrder {
    /// How many patches each image has, and each window.
    private(set) var images: [Int] = []
    private(set) var windows: [Int] = []
    /// Rows of all patches, then their columns.
    let coordinates: [Int32]
    /// For each token in this order its place in reading order.
    private let tokens: [Int32]
    private let perToken: Int

    /// - Parameters:
    ///   - grids: Tokens of each image.
    ///   - merge: Patches of a token's side.
    ///   - window: Tokens of a window's side; nil for windows as large as images.
    init(_ grids: [ImageGrid], merge: Int, window: Int?) {
        perToken = merge * merge
        var (tokens, rows, columns): ([Int32], [Int32], [Int32]) = ([], [], [])
        var first = 0
        for grid in grids {
            images.append(grid.rows * grid.columns * perToken)
            let side = window ?? max(grid.rows, grid.columns)
            for top in stride(from: 0, to: grid.rows, by: side) {
                for left in stride(from: 0, to: grid.columns, by: side) {
                    let start = tokens.count
                    for row in top..<min(top + side, grid.rows) {
                        for column in left..<min(left + side, grid.columns) {
                            tokens.append(Int32(first + row * grid.columns + column))
                            for part in 0..<merge * merge {
                                rows.append(Int32(row * merge + part / merge))
                                columns.append(Int32(column * merge + part % merge))
                            }
                        }
                    }
                    windows.append((tokens.count - start) * perToken)
                }
            }
            first += grid.rows * grid.columns
        }
        (self.tokens, coordinates) = (tokens, rows + columns)
    }

    /// Patches that come token by token in reading order.
    func arranged(_ x: Matrix) -> Matrix {
        let sources = tokens.flatMap { token in
            (0..<perToken).map { token * Int32(perToken) + Int32($0) }
        }
        return gathered(sources, x)
    }

    /// Tokens back in reading order.
    func restored(_ x: Matrix) -> Matrix {
        var sources = [Int32](repeating: 0, count: tokens.count)
        for (place, token) in tokens.enumerated() { sources[Int(token)] = Int32(place) }
        return gathered(sources, x)
    }

    private func gathered(_ sources: [Int32], _ x: Matrix) -> Matrix {
        let y = x.backend.makeMatrix(rows: sources.count, columns: x.columns)
        x.backend.gatherRows(sources, of: x, into: y)
        return y
    }
}
