import Synchronization

/// The constraints that requests used last, compiled, in memory alone and within a limit.
public final class ConstraintCache: Sendable {
    private struct Entry {
        let constraint: CompiledConstraint
        let sourceBytes: Int
        var used: Int
    }

    private struct State {
        var entries: [[String]: Entry] = [:]
        var clock = 0
    }

    public let tokens: TokenTrie
    private let capacity: Int
    private let whitespace: JSONWhitespace
    private let limits: GrammarLimits
    private let state = Mutex(State())

    /// - Parameter capacity: Bytes; the constraint used last stays whatever it takes.
    public init(
        tokens: TokenTrie, capacity: Int = 48 << 20, whitespace: JSONWhitespace = .singleSpace,
        limits: GrammarLimits = GrammarLimits()
    ) {
        (self.tokens, self.capacity) = (tokens, capacity)
        (self.whitespace, self.limits) = (whitespace, limits)
    }

    /// The constraint, compiled now unless it is remembered.
    ///
    /// Errors: those of `CompiledConstraint`.
    public func compiled(_ constraint: AnswerConstraint) throws(StructuredOutputError) -> CompiledConstraint {
        let key = constraint.key
        let known = state.withLock { state -> CompiledConstraint? in
            state.clock += 1
            state.entries[key]?.used = state.clock
            return state.entries[key]?.constraint
        }
        if let known { return known }
        let sourceBytes = key.reduce(0) { $0 + $1.utf8.count }
        guard sourceBytes <= limits.sourceBytes else {
            throw StructuredOutputError(
                .tooComplex, at: "constraint", expected: "at most \(limits.sourceBytes) bytes",
                found: "\(sourceBytes)")
        }
        let made = try CompiledConstraint(constraint, tokens: tokens, whitespace: whitespace, limits: limits)
        state.withLock { state in
            state.clock += 1
            state.entries[key] = Entry(constraint: made, sourceBytes: sourceBytes, used: state.clock)
            // What constraints take grows while they are used, so it is added up anew.
            var total = Self.bytes(state)
            while total > capacity, state.entries.count > 1,
                let oldest = state.entries.min(by: { $0.value.used < $1.value.used })
            {
                state.entries[oldest.key] = nil
                total = Self.bytes(state)
            }
        }
        return made
    }

    private static func bytes(_ state: State) -> Int {
        state.entries.values.reduce(0) { $0 + $1.constraint.grammar.memory + 2 * $1.sourceBytes }
    }

    /// How many are remembered, and their bytes.
    public var usage: (constraints: Int, bytes: Int) {
        state.withLock { ($0.entries.count, Self.bytes($0)) }
    }
}
