public import Tensors

/// The table of token vectors: `vocabulary` x `width`.
public struct Embedding: Sendable {
    let table: EmbeddingTable

    public init(_ parameters: Parameters, vocabulary: Int, width: Int) throws {
        table = parameters.backend.makeTable(
            try parameters.matrix("weight", outputs: vocabulary, inputs: width))
    }

    /// The vectors of the step's tokens: `rows` x `width`.
    public func callAsFunction(_ pass: ForwardPass) -> Matrix {
        let x = pass.backend.makeMatrix(rows: pass.tokens.count, columns: table.columns)
        pass.backend.embed(pass.tokens, table, into: x)
        return x
    }
}
