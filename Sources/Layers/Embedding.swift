public import Tensors

/// The table of token vectors: `vocabulary` x `width`.
public struct Embedding: Sendable {
    let table: EmbeddingTable
    let scale: Float?
    let positions: EmbeddingTable?
    let norm: (any Normalization)?

    /// Vectors are multiplied by `scale`, added to the row of `positions` for where the token stands, and
    /// normalised, as far as these are given.
    public init(
        _ parameters: Parameters, vocabulary: Int, width: Int, scale: Float? = nil,
        positions: (parameters: Parameters, count: Int)? = nil, norm: (any Normalization)? = nil
    ) throws {
        func table(_ parameters: Parameters, _ rows: Int) throws -> EmbeddingTable {
            parameters.backend.makeTable(try parameters.matrix("weight", outputs: rows, inputs: width))
        }
        self.table = try table(parameters, vocabulary)
        self.positions = try positions.map { try table($0.parameters, $0.count) }
        (self.scale, self.norm) = (scale, norm)
    }

    /// The vectors of the step's tokens, or what images have in their place: `rows` x `width`.
    public func callAsFunction(_ pass: ForwardPass) -> Matrix {
        let x = lookUp(pass.tokens, table, pass)
        if let scale { pass.backend.scale(x, by: scale) }
        for image in pass.images {
            let rows = image.first..<image.first + image.rows.count
            pass.backend.write(image.features[rows: rows], into: x.rows(image.rows))
        }
        let placed = positions.map { x + lookUp(pass.positions, $0, pass) } ?? x
        return norm.map { $0(placed) } ?? placed
    }

    private func lookUp(_ rows: [Int32], _ table: EmbeddingTable, _ pass: ForwardPass) -> Matrix {
        let x = pass.backend.makeMatrix(rows: rows.count, columns: table.columns)
        pass.backend.embed(rows, table, into: x)
        return x
    }
}
