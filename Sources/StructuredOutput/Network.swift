/// A recursive transition network: nodes joined by bytes and by calls of rules.
struct Network: Sendable {
    typealias NodeIndex = Int32

    struct Edge: Sendable {
        let bytes: ByteSet
        let next: NodeIndex
    }

    enum Node: Sendable {
        /// One byte along one of the edges, whose sets do not overlap.
        case bytes([Edge])
        /// Any of the nodes, without a byte.
        case split([NodeIndex])
        /// Through a rule, then on. Nothing is left to do after a tail call but to return.
        case call(rule: Int, next: NodeIndex, isTail: Bool)
        /// A rule's end.
        case end
        case startAnchor(NodeIndex)
        case endAnchor(NodeIndex)
    }

    private(set) var nodes: [Node] = []
    /// Of each rule.
    private(set) var entries: [NodeIndex] = []

    private var size = 0
    private var steps = 0
    private var encodings: [ScalarSet: ScalarEncoding] = [:]
    private let limits: GrammarLimits
    private let place: String

    /// Errors: `tooComplex` when it has more nodes and edges than `limits` allow.
    init(_ rules: RuleSet, limits: GrammarLimits, place: String) throws(StructuredOutputError) {
        (self.limits, self.place) = (limits, place)
        for rule in rules.rules {
            let end = try append(.end)
            entries.append(try build(rule.body, next: end))
        }
    }

    /// Of one expression that calls no rules.
    init(_ expression: Expression, limits: GrammarLimits, place: String) throws(StructuredOutputError) {
        var rules = RuleSet()
        rules.root = rules.add("root", expression)
        try self.init(rules, limits: limits, place: place)
    }

    private mutating func append(_ node: Node) throws(StructuredOutputError) -> NodeIndex {
        size += 1
        switch node {
        case .bytes(let edges): size += edges.count
        case .split(let targets): size += targets.count
        default: break
        }
        try checkSize()
        nodes.append(node)
        return NodeIndex(nodes.count - 1)
    }

    private func checkSize() throws(StructuredOutputError) {
        guard size <= limits.networkSize, steps <= 8 * limits.networkSize else {
            throw StructuredOutputError(
                .tooComplex, at: place, expected: "at most \(limits.networkSize) states", found: "more")
        }
    }

    /// Nodes that match `expression` and then go on to `next`; the first of them.
    private mutating func build(
        _ expression: Expression, next: NodeIndex
    ) throws(StructuredOutputError) -> NodeIndex {
        steps += 1
        try checkSize()
        switch expression {
        case .nothing: return try append(.split([]))
        case .empty: return next
        case .literal(let bytes):
            var entry = next
            for byte in bytes.reversed() {
                entry = try append(.bytes([Edge(bytes: ByteSet(byte), next: entry)]))
            }
            return entry
        case .literals(let texts):
            let sorted = Set(texts).sorted { $0.lexicographicallyPrecedes($1) }
            return try literals(sorted, next: next)
        case .scalars(let set): return try scalars(set, next: next)
        case .sequence(let parts):
            var entry = next
            for part in parts.reversed() { entry = try build(part, next: entry) }
            return entry
        case .choice(let options):
            var targets: [NodeIndex] = []
            for option in options { targets.append(try build(option, next: next)) }
            return targets.count == 1 ? targets[0] : try append(.split(targets))
        case .repetition(let body, let minimum, let maximum):
            return try repetition(body, minimum, maximum, next: next)
        case .rule(let rule):
            var isTail = false
            if case .end = nodes[Int(next)] { isTail = true }
            return try append(.call(rule: rule, next: next, isTail: isTail))
        case .automaton(let automaton, let escaping):
            return try embed(automaton, escaping, next: next)
        case .start: return try append(.startAnchor(next))
        case .end: return try append(.endAnchor(next))
        }
    }

    private mutating func repetition(
        _ body: Expression, _ minimum: Int, _ maximum: Int?, next: NodeIndex
    ) throws(StructuredOutputError) -> NodeIndex {
        var entry: NodeIndex
        if let maximum {
            entry = next
            for _ in 0..<max(maximum - minimum, 0) {
                let once = try build(body, next: entry)
                entry = try append(.split([once, next]))
            }
        } else {
            let loop = try append(.split([]))
            let body = try build(body, next: loop)
            nodes[Int(loop)] = .split([body, next])
            entry = loop
        }
        for _ in 0..<minimum { entry = try build(body, next: entry) }
        return entry
    }

    /// A tree over texts that are sorted and distinct. Without recursion: they may be long, and alike.
    private mutating func literals(
        _ texts: [[UInt8]], next: NodeIndex
    ) throws(StructuredOutputError) -> NodeIndex {
        var open: [(edges: [Edge], isEnd: Bool)] = [([], false)]
        var path: [UInt8] = []
        for text in texts {
            try close(&open, &path, to: zip(path, text).prefix { $0 == $1 }.count, next: next)
            for byte in text[path.count...] {
                path.append(byte)
                open.append(([], false))
            }
            open[path.count].isEnd = true
        }
        try close(&open, &path, to: 0, next: next)
        return try branch(open[0].edges, isEnd: open[0].isEnd, next: next)
    }

    /// Appends the nodes of `path` beyond `depth`, which no later text shares.
    private mutating func close(
        _ open: inout [(edges: [Edge], isEnd: Bool)], _ path: inout [UInt8], to depth: Int, next: NodeIndex
    ) throws(StructuredOutputError) {
        while path.count > depth {
            let (edges, isEnd) = open.removeLast()
            let entry = try branch(edges, isEnd: isEnd, next: next)
            open[open.count - 1].edges.append(Edge(bytes: ByteSet(path.removeLast()), next: entry))
        }
    }

    private mutating func branch(
        _ edges: [Edge], isEnd: Bool, next: NodeIndex
    ) throws(StructuredOutputError) -> NodeIndex {
        if edges.isEmpty { return isEnd ? next : try append(.split([])) }
        let branch = try append(.bytes(edges))
        return isEnd ? try append(.split([branch, next])) : branch
    }
}

extension Network {
    /// The UTF-8 of any scalar of the set.
    private mutating func scalars(
        _ set: ScalarSet, next: NodeIndex
    ) throws(StructuredOutputError) -> NodeIndex {
        let tree = encodings[set] ?? ScalarEncoding(set)
        encodings[set] = tree
        let first = NodeIndex(nodes.count)
        for edges in tree.nodes {
            _ = try append(
                .bytes(
                    edges.map { Edge(bytes: $0.bytes, next: $0.node.map { first + NodeIndex($0) } ?? next) }))
        }
        return NodeIndex(nodes.count - 1)
    }

    /// The automaton's states as nodes; its accepting ones may also go on to `next`.
    private mutating func embed(
        _ automaton: Automaton, _ escaping: Expression.Escaping, next: NodeIndex
    ) throws(StructuredOutputError) -> NodeIndex {
        var states: [NodeIndex] = []
        for _ in 0..<automaton.stateCount { states.append(try append(.bytes([]))) }
        for state in 0..<automaton.stateCount {
            var (targets, edges): ([NodeIndex], [Edge]) = ([], [])
            for (set, target) in automaton.edges(from: state) {
                let (plain, escaped) = set.partitioned(escaping)
                let target = states[target]
                if !plain.isEmpty { edges.append(Edge(bytes: plain, next: target)) }
                if !escaped.isEmpty { targets.append(try escapes(of: escaped, next: target)) }
            }
            if automaton.accepts(state) { targets.append(next) }
            size += edges.count + targets.count
            if targets.isEmpty {
                nodes[Int(states[state])] = .bytes(edges)
            } else {
                if !edges.isEmpty { targets.append(try append(.bytes(edges))) }
                nodes[Int(states[state])] = .split(targets)
            }
        }
        return automaton.stateCount == 0 ? try append(.split([])) : states[0]
    }

    /// Each of the bytes in the one way it is escaped within a JSON string.
    private mutating func escapes(
        of bytes: ByteSet, next: NodeIndex
    ) throws(StructuredOutputError) -> NodeIndex {
        var (short, edges) = (ByteSet(), [Edge]())
        for byte in UInt8.min...0x5C where bytes.contains(byte) {
            if let letter = JSONText.shortEscapes[byte] { short.insert(letter) }
        }
        if !short.isEmpty { edges.append(Edge(bytes: short, next: next)) }
        var hexadecimal: [Edge] = []
        for high in UInt8(0)...3 {
            var digits = ByteSet()
            for low in UInt8(0)..<16 {
                let byte = high << 4 | low
                guard bytes.contains(byte), JSONText.shortEscapes[byte] == nil else { continue }
                for digit in JSONText.hexadecimal(low) { digits.insert(digit) }
            }
            guard !digits.isEmpty else { continue }
            let last = try append(.bytes([Edge(bytes: digits, next: next)]))
            hexadecimal.append(Edge(bytes: ByteSet(UInt8(ascii: "0") + high), next: last))
        }
        if !hexadecimal.isEmpty {
            var entry = try append(.bytes(hexadecimal))
            for _ in 0..<2 {
                entry = try append(.bytes([Edge(bytes: ByteSet(UInt8(ascii: "0")), next: entry)]))
            }
            edges.append(Edge(bytes: ByteSet(UInt8(ascii: "u")), next: entry))
        }
        let letters = try append(.bytes(edges))
        return try append(.bytes([Edge(bytes: ByteSet(0x5C), next: letters)]))
    }
}

/// How JSON writes the characters that may not stand in a string as they are.
enum JSONText {
    static let shortEscapes: [UInt8: UInt8] = [
        0x22: 0x22, 0x5C: 0x5C, 0x08: UInt8(ascii: "b"), 0x09: UInt8(ascii: "t"), 0x0A: UInt8(ascii: "n"),
        0x0C: UInt8(ascii: "f"), 0x0D: UInt8(ascii: "r"),
    ]

    static func hexadecimal(_ digit: UInt8) -> [UInt8] {
        digit < 10 ? [0x30 + digit] : [0x61 + digit - 10, 0x41 + digit - 10]
    }
}

extension ByteSet {
    /// Bytes that may stand in a JSON string as they are, and those that must be escaped.
    fileprivate func partitioned(_ escaping: Expression.Escaping) -> (plain: ByteSet, escaped: ByteSet) {
        var (plain, escaped) = (self, ByteSet())
        guard case .json(let spelling) = escaping else { return (plain, escaped) }
        for byte in [UInt8](0..<0x20) + [0x22, 0x5C] + spelling.escaped.utf8 where contains(byte) {
            plain.remove(byte)
            escaped.insert(byte)
        }
        return (plain, escaped)
    }
}
