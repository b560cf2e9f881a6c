/// What a sampler asks about one row of logits.
public struct LogitQuery: Sendable {
    /// Which column is chosen.
    public enum Choice: Sendable, Equatable {
        /// The likeliest, the first of equals.
        case likeliest
        /// Where the running sum of probabilities, column by column, passes this part of it; in [0, 1).
        case drawn(at: Double)
        /// The same among the likeliest, in their order.
        case drawnFrom(Nucleus, at: Double)
        case column(Int)
    }

    public var row: Int
    public var choice = Choice.likeliest
    /// How many of the likeliest columns are wanted beside.
    public var leading = 0
    /// Logits are divided by it; positive.
    public var temperature: Float = 1
    /// Made in the row, in order, before anything else.
    public var edits: [LogitEdit] = []
    /// The only columns that are not impossible, as bit `column % 64` of word `column / 64`; nil for all.
    /// Applies after the edits. Columns beyond the words are impossible.
    public var allowed: [UInt64]?

    public init(row: Int) { self.row = row }
}

/// A change to one logit.
public struct LogitEdit: Sendable, Equatable {
    public enum Change: Sendable, Equatable {
        case add(Float)
        /// Divides what is positive and multiplies what is not by `repetition`, then takes `minus` away.
        case penalize(repetition: Float, minus: Float)
        /// Adds this multiple of the magnitude.
        case grow(Float)
        /// Makes the column impossible.
        case exclude
    }

    public let column: Int
    public let change: Change

    public init(column: Int, _ change: Change) { (self.column, self.change) = (column, change) }

    /// The logit that `logit` becomes.
    public func applied(to logit: Float) -> Float {
        switch change {
        case .add(let bias): logit + bias
        case .penalize(let repetition, let minus):
            (logit > 0 ? logit / repetition : logit * repetition) - minus
        case .grow(let growth): logit + abs(logit) * growth
        case .exclude: -.infinity
        }
    }
}

/// What a row of logits says in answer to a query.
public struct LogitAnswer: Sendable, Equatable {
    public struct Column: Sendable, Equatable {
        public let index: Int
        /// `ln` of the softmax.
        public let logProbability: Float

        public init(index: Int, logProbability: Float) {
            (self.index, self.logProbability) = (index, logProbability)
        }
    }

    public var choice = Column(index: 0, logProbability: 0)
    /// Likeliest first, lower columns first among equals. Not-a-numbers are left out.
    public var leading: [Column] = []

    public init() {}
}

/// Answers that a backend may still be working on.
public struct PendingAnswers: ~Copyable {
    private let collect: (inout [LogitAnswer]) -> Void

    /// `collect` waits for them.
    public init(_ collect: @escaping (inout [LogitAnswer]) -> Void) { self.collect = collect }

    /// Waits until they are there.
    public consuming func wait(into answers: inout [LogitAnswer]) { collect(&answers) }
}
