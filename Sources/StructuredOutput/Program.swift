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
        need = Self.needs(of: network)
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
        var isNullable = [Bool](repeating: false, count: network.entries.count)
        var calls = [Set<Int>](repeating: [], count: network.entries.count)
        var hasChanged = true
        while hasChanged {
            hasChanged = false
            for (rule, entry) in network.entries.enumerated() {
                let (reached, ends) = leftCalls(network, from: entry, isNullable)
                if ends, !isNullable[rule] { (isNullable[rule], hasChanged) = (true, true) }
                calls[rule] = reached
            }
        }
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

    private static func leftCalls(
        _ network: Network, from entry: Network.NodeIndex, _ isNullable: [Bool]
    ) -> (calls: Set<Int>, ends: Bool) {
        var (calls, ends) = (Set<Int>(), false)
        var (seen, pending) = (Set([entry]), [entry])
        while let index = pending.popLast() {
            var targets: [Network.NodeIndex] = []
            switch network.nodes[Int(index)] {
            case .bytes: break
            case .split(let options): targets = options
            case .call(let rule, let next, _):
                calls.insert(rule)
                if isNullable[rule] { targets = [next] }
            case .end: ends = true
            case .startAnchor, .endAnchor: preconditionFailure("anchors stand in automata alone")
            }
            for target in targets where seen.insert(target).inserted { pending.append(target) }
        }
        return (calls, ends)
    }

    private static func needs(of network: Network) -> [Int?] {
        var need = [Int?](repeating: nil, count: network.nodes.count)
        var hasChanged = true
        // Nodes come after those that they lead to, but for loops and calls, so few rounds suffice.
        while hasChanged {
            hasChanged = false
            for (index, node) in network.nodes.enumerated() {
                let least: Int? =
                    switch node {
                    case .end: 0
                    case .bytes(let edges): edges.compactMap { need[Int($0.next)] }.min()
                    case .split(let targets): targets.compactMap { need[Int($0)] }.min()
                    case .call(let rule, let next, let isTail):
                        need[Int(network.entries[rule])].flatMap { inside in
                            need[Int(next)].map { isTail ? inside : max(inside + 1, $0) }
                        }
                    case .startAnchor, .endAnchor: nil
                    }
                if let least, least < need[index] ?? .max { (need[index], hasChanged) = (least, true) }
            }
        }
        return need
    }
}
