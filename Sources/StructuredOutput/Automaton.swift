/// A deterministic automaton over bytes: a set of texts that can be intersected, subtracted and searched.
///
/// Every state lies on a way from the first to an accepting one.
struct Automaton: Sendable {
    /// For each byte, its column.
    let classes: [UInt8]
    let width: Int
    /// states x columns; nil where no text goes on.
    private var next: [Int32?]
    private var accepting: [Bool]

    var stateCount: Int { accepting.count }

    var isEmpty: Bool { accepting.isEmpty }

    /// How many transitions its table has.
    var size: Int { next.count }

    func accepts(_ state: Int) -> Bool { accepting[state] }

    /// `step` gives the columns of a state, then whether a text may end there; states are numbered as they
    /// are met. The first is that of `start`.
    init<State: Hashable>(
        classes: [UInt8], start: State, limits: GrammarLimits, place: String,
        step: (State) throws(StructuredOutputError) -> (next: [State?], accepts: Bool)
    ) throws(StructuredOutputError) {
        (self.classes, width) = (classes, Int(classes.max() ?? 0) + 1)
        (next, accepting) = ([], [])
        var (known, states) = ([start: Int32(0)], [start])
        var done = 0
        while done < states.count {
            let (targets, accepts) = try step(states[done])
            accepting.append(accepts)
            done += 1
            for target in targets {
                guard let target else {
                    next.append(nil)
                    continue
                }
                let index = known[target] ?? Int32(states.count)
                if index == states.count {
                    known[target] = index
                    states.append(target)
                }
                next.append(index)
            }
            guard states.count <= limits.automatonStates else {
                throw StructuredOutputError(
                    .tooComplex, at: place, expected: "at most \(limits.automatonStates) states",
                    found: "more")
            }
        }
        trim()
    }

    func step(_ state: Int, _ byte: UInt8) -> Int? {
        next[state * width + Int(classes[Int(byte)])].map(Int.init)
    }

    func matches(_ bytes: some Sequence<UInt8>) -> Bool {
        guard !isEmpty else { return false }
        var state = 0
        for byte in bytes {
            guard let following = step(state, byte) else { return false }
            state = following
        }
        return accepting[state]
    }

    /// Where a state's bytes lead, each target once.
    func edges(from state: Int) -> [(bytes: ByteSet, target: Int)] {
        var edges: [(bytes: ByteSet, target: Int)] = []
        for byte in UInt8.min...UInt8.max {
            guard let target = step(state, byte) else { continue }
            if let known = edges.firstIndex(where: { $0.target == target }) {
                edges[known].bytes.insert(byte)
            } else {
                edges.append((ByteSet(byte), target))
            }
        }
        return edges
    }

    /// Drops the states that no text ends after.
    private mutating func trim() {
        var sources = [[Int]](repeating: [], count: stateCount)
        for (index, target) in next.enumerated() {
            if let target { sources[Int(target)].append(index / width) }
        }
        var isLive = accepting
        var pending = accepting.indices.filter { accepting[$0] }
        while let state = pending.popLast() {
            for source in sources[state] where !isLive[source] {
                isLive[source] = true
                pending.append(source)
            }
        }
        guard !isLive.allSatisfy(\.self) else { return }
        var (renamed, count) = ([Int32?](repeating: nil, count: stateCount), Int32(0))
        for state in isLive.indices where isLive[state] && isLive[0] {
            renamed[state] = count
            count += 1
        }
        var (kept, ends): ([Int32?], [Bool]) = ([], [])
        for state in isLive.indices where renamed[state] != nil {
            for target in next[state * width..<(state + 1) * width] {
                kept.append(target.flatMap { renamed[Int($0)] })
            }
            ends.append(accepting[state])
        }
        (next, accepting) = (kept, ends)
    }
}

extension Automaton {
    /// The texts that `expression`, which calls no rules, matches from end to end.
    init(
        _ expression: Expression, limits: GrammarLimits, place: String
    ) throws(StructuredOutputError) {
        let network = try Network(expression, limits: limits, place: place)
        var subsets = SubsetConstruction(network: network, limits: limits, place: place)
        let start = try subsets.closure([network.entries[0]], atStart: true)
        try self.init(
            classes: subsets.classes.classes, start: start, limits: limits, place: place
        ) { (set) throws(StructuredOutputError) in try subsets.step(set) }
    }

    private enum Operation { case intersection, difference }

    private struct Pair: Hashable {
        let first: Int
        let second: Int?
    }

    private func combined(
        _ operation: Operation, _ other: Automaton, limits: GrammarLimits, place: String
    ) throws(StructuredOutputError) -> Automaton {
        guard !isEmpty, !other.isEmpty || operation == .difference else { return self.isEmpty ? self : other }
        var sets: [ByteSet] = []
        for automaton in [self, other] {
            for column in 0..<automaton.width {
                var set = ByteSet()
                for byte in UInt8.min...UInt8.max where automaton.classes[Int(byte)] == column {
                    set.insert(byte)
                }
                sets.append(set)
            }
        }
        let joint = ByteClasses(separating: sets)
        return try Automaton(
            classes: joint.classes, start: Pair(first: 0, second: other.isEmpty ? nil : 0),
            limits: limits, place: place
        ) { (pair) throws(StructuredOutputError) in
            let targets = joint.representatives.map { byte -> Pair? in
                guard let first = step(pair.first, byte) else { return nil }
                let second = pair.second.flatMap { other.step($0, byte) }
                return second == nil && operation == .intersection ? nil : Pair(first: first, second: second)
            }
            let alsoEnds = pair.second.map(other.accepts) ?? false
            return (targets, accepts(pair.first) && alsoEnds == (operation == .intersection))
        }
    }

    /// The texts of both.
    func intersection(
        _ other: Automaton, limits: GrammarLimits, place: String
    ) throws(StructuredOutputError) -> Automaton {
        try combined(.intersection, other, limits: limits, place: place)
    }

    /// The texts of this one that `other` lacks.
    func subtracting(
        _ other: Automaton, limits: GrammarLimits, place: String
    ) throws(StructuredOutputError) -> Automaton {
        try combined(.difference, other, limits: limits, place: place)
    }
}

/// Sets of a network's nodes as the states of an automaton; anchors are resolved on the way.
private struct SubsetConstruction {
    let network: Network
    let classes: ByteClasses
    let limits: GrammarLimits
    let place: String
    var work = 0

    init(network: Network, limits: GrammarLimits, place: String) {
        (self.network, self.limits, self.place) = (network, limits, place)
        var sets = Set<ByteSet>()
        for case .bytes(let edges) in network.nodes { sets.formUnion(edges.map(\.bytes)) }
        classes = ByteClasses(separating: sets)
    }

    private mutating func spend(_ steps: Int) throws(StructuredOutputError) {
        work += steps
        guard work <= limits.automatonWork else {
            throw StructuredOutputError(
                .tooComplex, at: place, expected: "at most \(limits.automatonWork) steps to compile",
                found: "more")
        }
    }

    /// Nodes reachable without a byte, those of bytes, ends and end anchors alone, sorted.
    mutating func closure(
        _ nodes: [Int32], atStart: Bool = false, atEnd: Bool = false
    ) throws(StructuredOutputError) -> [Int32] {
        var (seen, pending, kept) = (Set(nodes), nodes, [Int32]())
        while let index = pending.popLast() {
            try spend(1)
            var targets: [Int32] = []
            switch network.nodes[Int(index)] {
            case .bytes, .end: kept.append(index)
            case .split(let options): targets = options
            case .startAnchor(let next): if atStart { targets = [next] }
            case .endAnchor(let next):
                kept.append(index)
                if atEnd { targets = [next] }
            case .call: preconditionFailure("an automaton's expression calls no rules")
            }
            for target in targets where seen.insert(target).inserted { pending.append(target) }
        }
        return kept.sorted()
    }

    mutating func step(_ set: [Int32]) throws(StructuredOutputError) -> (next: [[Int32]?], accepts: Bool) {
        var targets = [Set<Int32>](repeating: [], count: classes.count)
        for index in set {
            guard case .bytes(let edges) = network.nodes[Int(index)] else { continue }
            try spend(edges.count)
            for (column, byte) in classes.representatives.enumerated() {
                for edge in edges where edge.bytes.contains(byte) { targets[column].insert(edge.next) }
            }
        }
        var next: [[Int32]?] = []
        for nodes in targets { next.append(nodes.isEmpty ? nil : try closure(Array(nodes))) }
        let accepts = try closure(set, atEnd: true).contains {
            if case .end = network.nodes[Int($0)] { true } else { false }
        }
        return (next, accepts)
    }
}
