public import Tensors
import Weights

/// Learned queries that look at the patches of an image, and become as many features (arXiv 2308.12966): attention
/// across, with positions on the queries and on the keys but not on the values.
public struct Resampler: Sendable {
    let reduction: Linear
    let keyValueNorm: LayerNorm
    /// With their positions, normalised and projected; the same for every image.
    let queries: Matrix
    let keyPositions: Matrix
    let key: Linear
    let value: Linear
    let output: Linear
    let shape: AttentionShape
    let cache: PatchCache

    /// - Parameters:
    ///   - queries: Of how many a side their square has.
    ///   - side: Patches of an image's side.
    public init(
        _ parameters: Parameters, queries: Int, side: Int, inputs: Int, heads: Heads, epsilon: Float,
        images: Int
    ) throws {
        let (width, backend) = (heads.queryWidth, parameters.backend)
        let attention = parameters["attn"]
        let positions = try parameters.values("pos_embed", shape: [queries * queries, width])
        let grid = PositionGrid(side: queries, width: width, values: positions)
        func rows(_ values: [Float]) -> Matrix {
            backend.makeVector([HostWeight(values, outputs: values.count / width, inputs: width)])
                .reshaped(columns: width)
        }
        keyPositions = rows(grid.interpolated(side: side))
        reduction = try Linear(parameters["kv_proj"], inputs: inputs, outputs: width)
        keyValueNorm = try LayerNorm(parameters["ln_kv"], width: width, epsilon: epsilon)
        let parts = try Linear.cut(attention, "in_proj", inputs: width, outputs: [width, width, width])
        (key, value) = (parts[1], parts[2])
        output = try Linear(attention["out_proj"], inputs: width, outputs: width)
        let norm = try LayerNorm(parameters["ln_q"], width: width, epsilon: epsilon)
        let learned = rows(try parameters.values("query", shape: [queries * queries, width]))
        self.queries = parts[0](norm(learned) + rows(positions))
        shape = AttentionShape(
            queryHeads: heads.query, keyValueHeads: heads.keyValue, keyWidth: heads.width,
            valueWidth: heads.width, scale: 1 / Float(heads.width).squareRoot(), reach: .everything)
        cache = try PatchCache(parameters["kv_proj"], heads: heads, patches: images * side * side)
    }

    /// The features of `images` images, whose patches lie back to back.
    public func callAsFunction(_ patches: Matrix, images: Int) -> Matrix {
        let backend = patches.backend
        let x = keyValueNorm(reduction(patches))
        let places = repeated(keyPositions, images)
        let pass = cache.pass(
            Array(repeating: keyPositions.rows, count: images), queries: queries.rows)
        let y = backend.makeMatrix(rows: images * queries.rows, columns: queries.columns)
        backend.attend(
            repeated(queries, images), key(x + places), value(x), shape, in: pass, layer: 0, into: y)
        return output(y)
    }

    private func repeated(_ x: Matrix, _ times: Int) -> Matrix {
        let y = x.backend.makeMatrix(rows: times * x.rows, columns: x.columns)
        x.backend.gatherRows(PatchEmbedding.repeated(x.rows, times), of: x, into: y)
        return y
    }
}

extension Linear {
    /// Projections that the checkpoint stacks in one matrix `leaf_weight` with `leaf_bias`, each by itself.
    static func cut(
        _ parameters: Parameters, _ leaf: String, inputs: Int, outputs: [Int]
    ) throws -> [Linear] {
        let count = outputs.reduce(0, +)
        let weight = try parameters.matrix(leaf + "_weight", outputs: count, inputs: inputs)
        let bias = try parameters.vector(leaf + "_bias", count: count)
        var first = 0
        return outputs.map { outputs in
            defer { first += outputs }
            return Linear(
                weight.rows(first..<first + outputs), bias.elements([first..<first + outputs]), parameters)
        }
    }

    private init(_ weight: HostWeight, _ bias: HostWeight, _ parameters: Parameters) {
        self.weight = parameters.backend.makeWeight([weight])
        self.bias = parameters.backend.makeVector([bias])
        group = nil
    }

    /// `y = x W`, as the checkpoint has the matrix `leaf` the other way round.
    public init(transposing parameters: Parameters, _ leaf: String, inputs: Int, outputs: Int) throws {
        let matrix = try parameters.matrix(leaf, outputs: inputs, inputs: outputs)
        weight = parameters.backend.makeWeight([matrix.transposed(parameters.backend)])
        (bias, group) = (nil, nil)
    }
}
