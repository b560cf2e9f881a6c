import Synchronization

/// A grammar made ready for a vocabulary. Shared by all answers under the same constraint.
///
/// Its states and masks are found as answers need them and remembered, up to a limit, behind a lock.
public final class CompiledGrammar: Sendable {
    public let tokens: TokenTrie
    let start: Configuration
    private let table: Mutex<StateTable>
    private let limits: GrammarLimits

    /// Errors: `invalid` (left recursion), `unsatisfiable`, `tooComplex`, `deadEnd` when no token can begin
    /// an answer.
    public init(_ grammar: Grammar, tokens: TokenTrie) throws(StructuredOutputError) {
        self.tokens = tokens
        limits = grammar.limits
        var table = StateTable(program: try Program(grammar), limits: limits)
        start = table.start()
        self.table = Mutex(table)
        // The first mask tells, before anything runs, whether masks can be afforded at all.
        var mask = TokenMask(vocabularySize: tokens.vocabularySize)
        try matcher().allowedTokens(into: &mask)
    }

    /// At the beginning of an answer.
    public func matcher() -> GrammarMatcher { GrammarMatcher(grammar: self, configuration: start) }

    /// About how many bytes it takes now.
    public var memory: Int { table.withLock { $0.memory } }

    /// The configuration after `bytes`; nil when no answer begins so.
    func advance(_ configuration: Configuration, by bytes: [UInt8]) -> Configuration? {
        table.withLock { table in
            var states = [table.number(of: configuration)]
            for byte in bytes {
                table.makeRoom(keeping: &states)
                states[0] = table.step(states[0], column: Int(table.program.classes.classes[Int(byte)]))
                if states[0] == StateTable.dead { return nil }
            }
            return table.configurations[Int(states[0])]
        }
    }

    /// The only byte that may follow, where there is one and the text may not end.
    func forcedByte(_ configuration: Configuration) -> UInt8? {
        guard !configuration.accepts else { return nil }
        return table.withLock { table in
            var states = [table.number(of: configuration)]
            table.makeRoom(keeping: &states)
            var forced: UInt8?
            for byte in UInt8.min...UInt8.max {
                let column = Int(table.program.classes.classes[Int(byte)])
                guard table.step(states[0], column: column) != StateTable.dead else { continue }
                guard forced == nil else { return nil }
                forced = byte
            }
            return forced
        }
    }

    func allowedTokens(
        _ configuration: Configuration, into mask: inout TokenMask
    ) throws(StructuredOutputError) {
        let result = table.withLock { table -> Result<TokenMask, StructuredOutputError> in
            do throws(StructuredOutputError) {
                return .success(try allowedTokens(configuration, &table))
            } catch { return .failure(error) }
        }
        mask = try result.get()
    }

    private func allowedTokens(
        _ configuration: Configuration, _ table: inout StateTable
    ) throws(StructuredOutputError) -> TokenMask {
        var states = [table.number(of: configuration)]
        if let known = table.masks.mask(of: states[0]) { return known }
        table.makeRoom(keeping: &states)
        let generation = table.generation
        var mask: TokenMask
        switch table.plainRun(states[0]) {
        case nil:
            mask = TokenMask(vocabularySize: tokens.vocabularySize)
            try walk(tokens.all, from: states[0], &table, into: &mask)
        case let run?:
            mask = tokens.plain[run]
            try walk(tokens.special, from: states[0], &table, into: &mask)
        }
        if configuration.accepts {
            for token in tokens.endTokens { mask.insert(token) }
        }
        if table.generation == generation {
            table.masks.insert(mask, for: states[0], limit: limits.cachedMasks)
        }
        return mask
    }

    private func checkCost(_ table: borrowing StateTable, _ budget: Int) throws(StructuredOutputError) {
        guard table.work <= budget, !table.hasOverflowed else {
            throw StructuredOutputError(
                .tooComplex, at: "grammar",
                expected: "at most \(limits.places) places at once and \(limits.work) steps for one token",
                found: "more")
        }
    }

    /// Inserts the tokens of `tree` that may follow.
    private func walk(
        _ tree: PrefixTree, from state: StateTable.State, _ table: inout StateTable,
        into mask: inout TokenMask
    ) throws(StructuredOutputError) {
        let budget = table.work + limits.work
        try checkCost(table, budget)
        let classes = table.program.classes.classes
        var path = [StateTable.State](repeating: state, count: tree.depth + 1)
        var index = 0
        while index < tree.count {
            let node = tree.nodes[index]
            let depth = Int(node.depth)
            let column = Int(classes[Int(node.byte)])
            var next = table.known(path[depth - 1], column: column)
            if next == nil {
                // Numbers on the path stay valid: all of it is kept.
                table.makeRoom(keeping: &path)
                next = table.step(path[depth - 1], column: column)
                try checkCost(table, budget)
            }
            guard let next, next != StateTable.dead else {
                index = Int(node.end)
                continue
            }
            path[depth] = next
            for token in node.firstToken..<tree.nodes[index + 1].firstToken {
                mask.insert(Int(tree.tokens[Int(token)]))
            }
            index += 1
        }
    }
}
