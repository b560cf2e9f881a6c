public import Tensors

/// Patches as vectors that know where they were cut out: a projection, a vector for the whole image before them where
/// the network has one, and learned positions (ViT, arXiv 2010.11929).
public struct PatchEmbedding: Sendable {
    let projection: Linear
    let classToken: Matrix?
    /// A row for each vector of an image.
    let positions: Matrix

    /// - Parameters:
    ///   - classToken: The values of the vector before the patches.
    ///   - positions: Row by row, those of `classToken` first.
    public init(_ projection: Linear, classToken: [Float]?, positions: [Float], on backend: any Backend) {
        let width = projection.outputs
        self.projection = projection
        self.classToken = classToken.map { backend.makeVector([HostWeight($0, outputs: 1, inputs: width)]) }
        self.positions = backend.makeVector([
            HostWeight(positions, outputs: positions.count / width, inputs: width)
        ]).reshaped(columns: width)
    }

    /// Vectors of an image.
    public var length: Int { positions.rows }

    /// `patches` are those of `images` images, back to back.
    public func callAsFunction(_ patches: Matrix, images: Int) -> Matrix {
        let (backend, projected) = (patches.backend, projection(patches))
        let places = backend.makeMatrix(rows: images * length, columns: positions.columns)
        backend.gatherRows(Self.repeated(length, images), of: positions, into: places)
        guard let classToken else { return projected + places }
        let all = backend.makeMatrix(rows: places.rows, columns: places.columns)
        let count = length - 1
        for image in 0..<images {
            let start = image * length
            backend.gatherRows([0], of: classToken, into: all.rows(start..<start + 1))
            backend.gatherRows(
                (image * count..<(image + 1) * count).map { Int32($0) }, of: projected,
                into: all.rows(start + 1..<start + length))
        }
        return all + places
    }

    /// Of the vectors of `images` images those of patches.
    public func patchRows(of x: Matrix, images: Int) -> Matrix {
        let count = length - 1
        let y = x.backend.makeMatrix(rows: images * count, columns: x.columns)
        let rows = (0..<images).flatMap { image in (1...count).map { Int32(image * length + $0) } }
        x.backend.gatherRows(rows, of: x, into: y)
        return y
    }

    static func repeated(_ count: Int, _ times: Int) -> [Int32] {
        Array(repeatElement((0..<count).map { Int32($0) }, count: times).joined())
    }
}

/// A table of vectors for the places of a square grid, made to fit another grid by cubic interpolation between places
/// (a = -0.75, corners not aligned), as `torch.nn.functional.interpolate` does it.
public struct PositionGrid {
    /// Places of a side.
    let side: Int
    let width: Int
    let values: [Float]

    /// `values` has `side * side` rows of `width`.
    public init(side: Int, width: Int, values: [Float]) {
        precondition(values.count == side * side * width, "\(values.count) values of \(side)x\(side) places")
        (self.side, self.width, self.values) = (side, width, values)
    }

    public func interpolated(side newSide: Int) -> [Float] {
        guard newSide != side else { return values }
        let taps = (0..<newSide).map { Self.taps($0, side, newSide) }
        var result = [Float](repeating: 0, count: newSide * newSide * width)
        for row in 0..<newSide {
            for column in 0..<newSide {
                let start = (row * newSide + column) * width
                for (y, down) in taps[row] {
                    for (x, across) in taps[column] {
                        let source = (y * side + x) * width
                        for i in 0..<width { result[start + i] += values[source + i] * down * across }
                    }
                }
            }
        }
        return result
    }

    /// The four places that make a new one, and by how much.
    private static func taps(_ place: Int, _ side: Int, _ newSide: Int) -> [(place: Int, weight: Float)] {
        let source = (Float(place) + 0.5) * Float(side) / Float(newSide) - 0.5
        let first = source.rounded(.down)
        let offset = source - first
        return (-1...2).map { step in
            let distance = abs(Float(step) - offset)
            return (min(max(Int(first) + step, 0), side - 1), cubic(distance))
        }
    }

    private static func cubic(_ x: Float) -> Float {
        let a: Float = -0.75
        return x <= 1
            ? ((a + 2) * x - (a + 3)) * x * x + 1 : ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    }
}
