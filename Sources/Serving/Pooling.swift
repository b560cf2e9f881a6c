import Tensors

/// How the hidden states of a text's tokens become one vector.
public enum Pooling: String, Sendable, CaseIterable {
    /// The last token's, which has seen all the others.
    case last
    /// The mean of all.
    case mean
    /// The first token's.
    case cls

    /// Whether it looks at other tokens than the last.
    var needsEveryToken: Bool { self != .last }
}

/// Gathers the hidden states of a text as they are computed. Token by token, so that how the text was cut into parts
/// makes no difference.
struct PooledStates {
    private let pooling: Pooling
    private var values: [Double] = []
    private var row: [Float] = []
    /// Tokens that are in `values`: a text that was interrupted is computed from its beginning again.
    private var count = 0

    init(_ pooling: Pooling) { self.pooling = pooling }

    /// Takes the states in `rows` of `states`, the first of which belongs to the text's token `position`.
    mutating func take(_ states: Matrix, rows: Range<Int>, from position: Int) {
        for (offset, index) in rows.enumerated() where position + offset >= count {
            if pooling == .cls, count > 0 { return }
            states.backend.read(states, row: index, into: &row)
            add()
            count = position + offset + 1
        }
    }

    private mutating func add() {
        guard pooling == .mean, !values.isEmpty else { return values = row.map(Double.init) }
        for column in values.indices { values[column] += Double(row[column]) }
    }

    /// The vector of the text.
    var vector: [Float] {
        let divisor = pooling == .mean ? Double(max(count, 1)) : 1
        return values.map { Float($0 / divisor) }
    }
}
