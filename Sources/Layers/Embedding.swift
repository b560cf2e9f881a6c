public import Tensors
import Weights

/// The table of token vectors: `vocabulary` x `width`.
public struct Embedding: Sendable {
    /// Of all tokens, or of those that are looked up here.
    let table: EmbeddingTable
    let vocabulary: Int
    let own: Range<Int>
    /// Those whose vectors are summed: each has those of other tokens.
    let group: (any Communicator)?
    let scale: Float?
    let positions: EmbeddingTable?
    let norm: (any Normalization)?

    /// Vectors are multiplied by `scale`, added to the row of `positions` for where the token stands, and
    /// normalised, as far as these are given.
    public init(
        _ parameters: Parameters, vocabulary: Int, width: Int, scale: Float? = nil,
        positions: (parameters: Parameters, count: Int)? = nil, norm: (any Normalization)? = nil
    ) throws {
        let all = try parameters.matrix("weight", outputs: vocabulary, inputs: width)
        own = try parameters.shard.part(of: vocabulary, "tokens of the vocabulary")
        table = parameters.backend.makeTable(all.rows(own))
        (self.vocabulary, group) = (vocabulary, parameters.shard.isWhole ? nil : parameters.group)
        self.positions = try positions.map { parameters, count in
            parameters.backend.makeTable(try parameters.matrix("weight", outputs: count, inputs: width))
        }
        (self.scale, self.norm) = (scale, norm)
    }

    /// The vectors of the step's tokens, or what images have in their place: `rows` x `width`.
    public func callAsFunction(_ pass: ForwardPass) -> Matrix {
        let x = vectors(pass)
        if let scale { pass.backend.scale(x, by: scale) }
        for image in pass.images {
            let rows = image.first..<image.first + image.rows.count
            pass.backend.write(image.features[rows: rows], into: x.rows(image.rows))
        }
        let placed = positions.map { x + lookUp(pass.positions, $0, pass) } ?? x
        return norm.map { $0(placed) } ?? placed
    }

    private func vectors(_ pass: ForwardPass) -> Matrix {
        guard let group else { return lookUp(pass.tokens, table, pass) }
        return group.sum(rows: pass.tokens.count, columns: table.columns, on: pass.backend) { x in
            let isOwn = pass.tokens.map { own.contains(Int($0)) }
            let rows = zip(pass.tokens, isOwn).map { $1 ? $0 - Int32(own.lowerBound) : 0 }
            pass.backend.embed(rows, table, into: x)
            // Those of others are zeros.
            pass.backend.scale(x, by: isOwn.map { $0 ? 1 : 0 })
        }
    }

    private func lookUp(_ rows: [Int32], _ table: EmbeddingTable, _ pass: ForwardPass) -> Matrix {
        let x = pass.backend.makeMatrix(rows: rows.count, columns: table.columns)
        pass.backend.embed(rows, table, into: x)
        return x
    }
}
