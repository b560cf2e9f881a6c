import JSON
import OrderedCollections

/// Multiplies out `allOf`, `anyOf`, `oneOf` and references to a list of ways to satisfy a schema.
struct SchemaAlternatives {
    let document: SchemaDocument
    let validator: JSONSchemaValidator
    private let patterns: SchemaPatterns
    private var known: [SchemaNode.Index: [SchemaFacts]] = [:]
    var work = 0
    var depth = 0

    init(document: SchemaDocument, patterns: SchemaPatterns) {
        (self.document, self.patterns) = (document, patterns)
        validator = JSONSchemaValidator(document, patterns)
    }

    func unsupported(_ node: SchemaNode, _ keyword: String, _ expected: String)
        -> StructuredOutputError
    {
        StructuredOutputError(
            .unsupported, at: node.place + "/" + keyword, expected: expected, found: keyword)
    }

    /// The ways to satisfy all of `nodes` at once.
    mutating func all(
        _ nodes: some Sequence<SchemaNode.Index>
    ) throws(StructuredOutputError) -> [SchemaFacts] {
        var result = [SchemaFacts()]
        for node in nodes { result = try product(result, try of(node), document[node]) }
        return result
    }

    mutating func product(
        _ a: [SchemaFacts], _ b: [SchemaFacts], _ node: SchemaNode
    ) throws(StructuredOutputError) -> [SchemaFacts] {
        work += a.count * b.count
        var result: [SchemaFacts] = []
        var seen: Set<SchemaFacts.Identity> = []
        for first in a {
            for second in b {
                guard let merged = first.merged(with: second) else { continue }
                if seen.insert(merged.identity).inserted { result.append(merged) }
            }
        }
        let limit = document.limits.alternatives
        guard result.count <= limit, work <= document.limits.work / 100 else {
            throw StructuredOutputError(
                .tooComplex, at: node.place, expected: "at most \(limit) ways to satisfy a schema",
                found: "more")
        }
        return result
    }

    mutating func of(_ index: SchemaNode.Index) throws(StructuredOutputError) -> [SchemaFacts] {
        if let known = known[index] { return known }
        let node = document[index]
        if let constant = node.constant { return constant ? [SchemaFacts(index, node)] : [] }
        try refuseUnsupported(node)
        depth += 1
        defer { depth -= 1 }
        guard depth <= document.limits.referenceDepth else {
            throw StructuredOutputError(
                .tooComplex, at: node.place,
                expected: "at most \(document.limits.referenceDepth) schemas of schemas", found: "more")
        }
        var result = [SchemaFacts(index, node)]
        for part in [node.reference].compactMap(\.self) + node.all {
            result = try product(result, try of(part), node)
        }
        if let options = node.any { result = try product(result, try union(options), node) }
        if let options = node.one { result = try product(result, try exactlyOne(options, node), node) }
        if let not = node.not { result = try product(result, try violations(not, node, "not"), node) }
        if let condition = node.condition, node.consequence != nil || node.alternative != nil {
            result = try product(result, try conditional(condition, node), node)
        }
        for (name, others) in node.dependentRequired {
            result = try product(result, without(name, otherwise: others), node)
        }
        for (name, schema) in node.dependentSchemas {
            var present = SchemaFacts()
            present.required = [name]
            let ways = try product([present], try of(schema), node)
            result = try product(result, without(name, otherwise: []).prefix(1) + ways, node)
        }
        known[index] = result
        return result
    }

    private func without(_ name: JSONKey, otherwise others: [JSONKey]) -> [SchemaFacts] {
        var (absent, present) = (SchemaFacts(), SchemaFacts())
        absent.forbidden = [name]
        present.required = OrderedSet([name] + others)
        return [absent, present]
    }

    mutating func union(_ options: [SchemaNode.Index]) throws(StructuredOutputError) -> [SchemaFacts] {
        var result: [SchemaFacts] = []
        for option in options { result += try of(option) }
        return result
    }

    private func refuseUnsupported(_ node: SchemaNode) throws(StructuredOutputError) {
        if let format = node.format, node.types.contains(.string), patterns.format(format) == nil {
            throw StructuredOutputError(
                .unsupported, at: node.place + "/format",
                expected: "one of " + SchemaFormats.names.joined(separator: ", "), found: "\"\(format)\"")
        }
        let hasParts = node.reference != nil || !node.inPlace.isEmpty
        for (name, rest) in [
            ("unevaluatedProperties", node.unevaluatedProperties),
            ("unevaluatedItems", node.unevaluatedItems),
        ] {
            if let rest, document[rest].constant != true, hasParts {
                throw unsupported(node, name, "no \(name) beside other schemas")
            }
        }
    }
}

extension SchemaAlternatives {
    /// Whether no value can satisfy two of the schemas, as far as that is plain.
    mutating func excludeEachOther(_ options: [SchemaNode.Index]) throws(StructuredOutputError) -> Bool {
        let ways = try options.map { (option) throws(StructuredOutputError) in try of(option) }
        for first in ways.indices {
            for second in ways.indices where second > first {
                for a in ways[first] {
                    for b in ways[second] where !(try areDisjoint(a, b, depth: 3)) { return false }
                }
            }
        }
        return true
    }

    private mutating func areDisjoint(
        _ a: SchemaFacts, _ b: SchemaFacts, depth: Int
    ) throws(StructuredOutputError) -> Bool {
        work += 1
        let common = a.types.intersection(b.types)
        if common.isEmpty { return true }
        for (one, other) in [(a, b), (b, a)] {
            guard let values = one.allowed.first else { continue }
            var isShared = false
            for value in values where !isShared {
                isShared = true
                for node in one.nodes.union(other.nodes) where isShared {
                    isShared = try validator.accepts(value, node)
                }
            }
            if !isShared { return true }
        }
        if !common.isDisjoint(with: .number), common.isSubset(of: .number) { return excludesNumbers(a, b) }
        guard common == .object, depth > 0 else { return false }
        for (one, other) in [(a, b), (b, a)] {
            for name in one.required {
                if other.forbidden.contains(name) { return true }
                let theirs = try all(member(name, of: other))
                if theirs.isEmpty { return true }
                guard other.required.contains(name) else { continue }
                let mine = try all(member(name, of: one))
                var isDisjoint = true
                for x in mine {
                    for y in theirs where isDisjoint { isDisjoint = try areDisjoint(x, y, depth: depth - 1) }
                }
                if isDisjoint { return true }
            }
        }
        return false
    }

    private func excludesNumbers(_ a: SchemaFacts, _ b: SchemaFacts) -> Bool {
        for (one, other) in [(a, b), (b, a)] {
            guard let low = one.minimum, let high = other.maximum else { continue }
            if low.value > high.value { return true }
            if low.value == high.value, low.isExclusive || high.isExclusive { return true }
        }
        return false
    }

    /// The schemas of a member of that name.
    func member(_ name: JSONKey, of facts: SchemaFacts) -> OrderedSet<SchemaNode.Index> {
        var schemas: OrderedSet<SchemaNode.Index> = []
        for index in facts.nodes {
            let node = document[index]
            var isKnown = false
            if let schema = node.properties[name] {
                isKnown = true
                schemas.append(schema)
            }
            for (pattern, schema) in node.patternProperties
            where patterns.occurs(pattern.string, in: name.string) {
                isKnown = true
                schemas.append(schema)
            }
            if !isKnown, let rest = node.additionalProperties ?? node.unevaluatedProperties {
                schemas.append(rest)
            }
        }
        return schemas
    }
}
