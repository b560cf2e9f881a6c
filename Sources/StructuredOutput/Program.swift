/// A network that is known to be usable: no left recursion, some text matches, and for each node how deeply
/// rules must nest to get from it to its rule's end.
struct Program: Sendable {
    let network: Network
    let root: Network.NodeIndex
    let classes: ByteClasses
    /// Of each node; nil when no text leads to its rule's end.
    let need: [Int?]

    /// Errors: `invalid` for left recursion, `unsatisfiable` when no text matches, `tooComplex`.
    init(_ grammar: Grammar) throws(StructuredOutputError) {
        network = try Network(grammar.rules, limits: grammar.limits, place: "grammar")
        root = network.entries[grammar.rules.root]
        try Self.refuseLeftRecursion(network, rules: grammar.rules)
        need = Dependents(of: network).settle(Self.need)
        var sets = Set<ByteSet>()
        for case .bytes(let edges) in network.nodes { sets.formUnion(edges.map(\.bytes)) }
        classes = ByteClasses(separating: sets)
        guard let least = need[Int(root)] else {
            throw StructuredOutputError(
                .unsatisfiable, at: "grammar", expected: "a text that satisfies it", found: "none")
        }
        guard least <= grammar.limits.nesting else {
            throw StructuredOutputError(
                .tooComplex, at: "grammar", expected: "rules nested at most \(grammar.limits.nesting) deep",
                found: "\(least)")
        }
    }

    /// A rule must not reach itself without a byte in between.
    private static func refuseLeftRecursion(
        _ network: Network, rules: RuleSet
    ) throws(StructuredOutputError) {
        let empty = Dependents(of: network).settle(isEmpty)
        let isNullable = network.entries.map { empty[Int($0)] != nil }
        let calls = network.entries.map { leftCalls(network, from: $0, isNullable) }
        // Rules that only call rules that are done are done; what remains goes in circles.
        var callers = [[Int]](repeating: [], count: calls.count)
        for (rule, callees) in calls.enumerated() { for callee in callees { callers[callee].append(rule) } }
        var open = calls.map(\.count)
        var done = open.indices.filter { open[$0] == 0 }
        while let rule = done.popLast() {
            for caller in callers[rule] {
                open[caller] -= 1
                if open[caller] == 0 { done.append(caller) }
            }
        }
        if let rule = open.firstIndex(where: { $0 > 0 }) {
            let named = open.indices.first { open[$0] > 0 && calls[$0].contains($0) } ?? rule
            throw StructuredOutputError(
                .invalid, at: "grammar", expected: "no left recursion",
                found: "rule \"\(rules.rules[named].name)\", which can begin with itself")
        }
    }

    /// Rules that may be called before any byte.
    private static func leftCalls(
        _ network: Network, from entry: Network.NodeIndex, _ isNullable: [Bool]
    ) -> Set<Int> {
        var calls = Set<Int>()
        var (seen, pending) = (Set([entry]), [entry])
        while let index = pending.popLast() {
            var targets: [Network.NodeIndex] = []
            switch network.nodes[Int(index)] {
            case .bytes, .end: break
            case .split(let options): targets = options
            case .call(let rule, let next, _):
                calls.insert(rule)
                if isNullable[rule] { targets = [next] }
            case .startAnchor, .endAnchor: preconditionFailure("anchors stand in automata alone")
            }
            for target in targets where seen.insert(target).inserted { pending.append(target) }
        }
        return calls
    }

    /// 0 for nodes from which a rule's end can be reached without a byte.
    private static func isEmpty(
        _ node: Network.Node, _ entries: [Network.NodeIndex], _ known: (Network.NodeIndex) -> Int?
    ) -> Int? {
        switch node {
        case .end: 0
        case .split(let targets): targets.compactMap(known).first
        case .call(let rule, let next, _): known(entries[rule]).flatMap { _ in known(next) }
        case .bytes, .startAnchor, .endAnchor: nil
        }
    }

    private static func need(
        _ node: Network.Node, _ entries: [Network.NodeIndex], _ known: (Network.NodeIndex) -> Int?
    ) -> Int? {
        switch node {
        case .end: 0
        case .bytes(let edges): edges.compactMap { known($0.next) }.min()
        case .split(let targets): targets.compactMap(known).min()
        case .call(let rule, let next, let isTail):
            known(entries[rule]).flatMap { inside in
                known(next).map { isTail ? inside : max(inside + 1, $0) }
            }
        case .startAnchor, .endAnchor: nil
        }
    }
}

/// For each node of a network, the nodes that lead to it.
private struct Dependents {
    let network: Network
    /// Of node n: `list[starts[n]..<starts[n + 1]]`.
    private var starts: [Int]
    private var list: [Int32]

    init(of network: Network) {
        self.network = network
        starts = [Int](repeating: 0, count: network.nodes.count + 2)
        list = []
        for node in network.nodes {
            for target in Self.targets(node, network) { starts[Int(target) + 2] += 1 }
        }
        for index in starts.indices.dropFirst() { starts[index] += starts[index - 1] }
        list = [Int32](repeating: 0, count: starts[starts.count - 1])
        for (index, node) in network.nodes.enumerated() {
            for target in Self.targets(node, network) {
                list[starts[Int(target) + 1]] = Int32(index)
                starts[Int(target) + 1] += 1
            }
        }
    }

    private static func targets(_ node: Network.Node, _ network: Network) -> [Network.NodeIndex] {
        switch node {
        case .end: []
        case .bytes(let edges): edges.map(\.next)
        case .split(let targets): targets
        case .call(let rule, let next, _): [network.entries[rule], next]
        case .startAnchor(let next), .endAnchor(let next): [next]
        }
    }

    /// The least values that satisfy `rule`, which gives a node's from those of the nodes it leads to; nil
    /// where there is none.
    func settle(
        _ rule: (Network.Node, [Network.NodeIndex], (Network.NodeIndex) -> Int?) -> Int?
    ) -> [Int?] {
        var values = [Int?](repeating: nil, count: network.nodes.count)
        // By value, so that hardly any node changes twice.
        var pending: [[Int]] = [
            network.nodes.indices.filter { if case .end = network.nodes[$0] { true } else { false } }
        ]
        var level = 0
        while level < pending.count {
            while let index = pending[level].popLast() {
                // Nothing that is still to come is below this level.
                if let known = values[index], known <= level { continue }
                guard let value = rule(network.nodes[index], network.entries, { values[Int($0)] }),
                    value < values[index] ?? .max
                else { continue }
                values[index] = value
                for dependent in list[starts[index]..<starts[index + 1]] {
                    let place = max(value, level)
                    while pending.count <= place + 1 { pending.append([]) }
                    pending[place].append(Int(dependent))
                }
            }
            level += 1
        }
        return values
    }
}
