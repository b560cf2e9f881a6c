/// The states that texts of a program have been in, with their transitions as far as they were asked for.
///
/// An automaton built on demand. States are forgotten, all at once, when there are too many; what a caller
/// still needs it keeps as a `Configuration`.
struct StateTable: Sendable {
    /// A state's number, until states are forgotten.
    typealias State = Int32

    /// No text goes on. Numbers below zero are transitions not asked for yet: the table is read once for
    /// every token of a vocabulary, which optionals of a number would make half again as large.
    static let dead: State = 0
    private static let unknown: State = -1

    let program: Program
    let limits: GrammarLimits
    /// Grows whenever states are forgotten.
    private(set) var generation = 0
    private(set) var configurations: [Configuration] = []
    private(set) var transitions: [State] = []
    private var numbers: [Configuration: State] = [:]
    private var builder: ConfigurationBuilder
    /// For each state, once asked for: what plain characters do.
    private var plainSteps: [State: PlainStep] = [:]
    var masks = MaskCache()

    /// Bytes that share a column of the table, and what a plain character is made of, by column.
    let width: Int
    private let plainColumns: [[(column: Int, next: Int)]]

    init(program: Program, limits: GrammarLimits) {
        (self.program, self.limits) = (program, limits)
        width = program.classes.count
        builder = ConfigurationBuilder(program: program, limits: limits)
        plainColumns = PlainText.steps.map { steps in
            var columns: [(column: Int, next: Int)] = []
            for (bytes, next) in steps {
                for byte in bytes {
                    let column = Int(program.classes.classes[Int(byte)])
                    if !columns.contains(where: { $0 == (column, next) }) { columns.append((column, next)) }
                }
            }
            return columns
        }
        forget()
    }

    private mutating func forget() {
        generation += 1
        configurations.removeAll(keepingCapacity: true)
        transitions.removeAll(keepingCapacity: true)
        numbers.removeAll(keepingCapacity: true)
        plainSteps.removeAll(keepingCapacity: true)
        masks.removeAll()
        _ = number(of: Configuration(items: [], accepts: false))
    }

    private var isFull: Bool { configurations.count >= limits.cachedStates }

    mutating func start() -> Configuration { builder.start() }

    mutating func number(of configuration: Configuration) -> State {
        if let known = numbers[configuration] { return known }
        let state = State(configurations.count)
        configurations.append(configuration)
        numbers[configuration] = state
        transitions.append(
            contentsOf: repeatElement(state == Self.dead ? Self.dead : Self.unknown, count: width))
        return state
    }

    /// The state after a byte of that column; nil until it has been asked for by `step`.
    func known(_ state: State, column: Int) -> State? {
        let known = transitions[Int(state) * width + column]
        return known == Self.unknown ? nil : known
    }

    /// The state after a byte of that column.
    mutating func step(_ state: State, column: Int) -> State {
        let index = Int(state) * width + column
        let known = transitions[index]
        if known != Self.unknown { return known }
        let next = number(
            of: builder.step(configurations[Int(state)], program.classes.representatives[column]))
        transitions[index] = next
        return next
    }

    /// Forgets states when there are too many, but those given, which it numbers anew.
    mutating func makeRoom(keeping states: inout [State]) {
        guard isFull else { return }
        let kept = states.map { configurations[Int($0)] }
        forget()
        states = kept.map { number(of: $0) }
    }

    /// About how many bytes it takes.
    var memory: Int {
        let states = configurations.count * (width * MemoryLayout<State>.stride + 256)
        return states + masks.memory + program.network.nodes.count * 96
    }

    /// Steps of work so far; it only grows.
    var work: Int { builder.work }

    /// Whether a text may be in more places than are followed. Then it stays so.
    var hasOverflowed: Bool { builder.hasOverflowed }
}

extension StateTable {
    /// Where a plain character leads.
    struct PlainStep: Sendable {
        /// Whether every one of them goes on, and whether none does.
        let all: Bool
        let none: Bool
        let targets: [State]
    }

    /// Nil when it takes more than `budget` allows.
    private mutating func plainStep(_ state: State, budget: Int) -> PlainStep? {
        if let known = plainSteps[state] { return known }
        var (targets, refused) = ([State](), false)
        var (seen, pending) = (Set<Int>(), [(state, 0)])
        while let (from, reader) = pending.popLast() {
            for (column, next) in plainColumns[reader] {
                guard work <= budget else { return nil }
                let target = step(from, column: column)
                if target == Self.dead {
                    refused = true
                } else if next == 0 {
                    if !targets.contains(target) { targets.append(target) }
                } else if seen.insert(Int(target) * PlainText.states + next).inserted {
                    pending.append((target, next))
                }
            }
        }
        let result = PlainStep(all: !refused, none: targets.isEmpty, targets: targets)
        plainSteps[state] = result
        return result
    }

    /// How many plain characters may follow, whichever they are; `longestRun` stands for that or more. Nil
    /// when it depends on which they are, or would take too long to tell.
    mutating func plainRun(_ state: State) -> Int? {
        let budget = work + limits.work / 4
        var level = [state]
        for count in 0..<TokenTrie.longestRun {
            var next: [State] = []
            var (all, none) = (true, true)
            for state in level {
                guard let step = plainStep(state, budget: budget) else { return nil }
                (all, none) = (all && step.all, none && step.none)
                for target in step.targets where !next.contains(target) { next.append(target) }
            }
            if none { return count }
            guard all, next.count <= 8 else { return nil }
            level = next
        }
        return TokenTrie.longestRun
    }
}

/// The masks used last. States often share one, as those within a string do.
struct MaskCache: Sendable {
    private var numbers: [StateTable.State: Int] = [:]
    private var masks: [Int: (mask: TokenMask, used: Int)] = [:]
    private var known: [TokenMask: Int] = [:]
    private var clock = 0

    mutating func mask(of state: StateTable.State) -> TokenMask? {
        guard let number = numbers[state], let mask = masks[number]?.mask else { return nil }
        clock += 1
        masks[number]?.used = clock
        return mask
    }

    mutating func insert(_ mask: TokenMask, for state: StateTable.State, limit: Int) {
        clock += 1
        if let number = known[mask] {
            masks[number]?.used = clock
            numbers[state] = number
            return
        }
        if masks.count >= max(limit, 1), let oldest = masks.min(by: { $0.value.used < $1.value.used }) {
            masks[oldest.key] = nil
            known[oldest.value.mask] = nil
        }
        // The time names it: no mask that came before has this number.
        masks[clock] = (mask, clock)
        known[mask] = clock
        numbers[state] = clock
    }

    var memory: Int {
        numbers.count * 32 + masks.values.reduce(0) { $0 + $1.mask.words.count * 8 }
    }

    mutating func removeAll() { self = MaskCache() }
}
