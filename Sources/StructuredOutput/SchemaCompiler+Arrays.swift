import JSON

/// Lists, by position and by what they contain.
extension SchemaCompiler {
    mutating func array(_ facts: SchemaFacts) throws(StructuredOutputError) -> Expression {
        let nodes = facts.nodes.map { document[$0] }
        if nodes.contains(where: \.uniqueItems), facts.maxItems ?? .max > 1 {
            throw unsupported(facts, "uniqueItems", "no uniqueItems")
        }
        guard facts.minItems <= facts.maxItems ?? .max else { return .nothing }
        let prefix = nodes.reduce(0) { max($0, $1.prefixItems.count) }
        func schemas(at position: Int) -> [SchemaNode.Index] {
            nodes.compactMap {
                position < $0.prefixItems.count ? $0.prefixItems[position] : $0.items ?? $0.unevaluatedItems
            }
        }
        let rest = schemas(at: prefix)
        // A tuple ends where its schema does, unless that says what follows.
        let last = prefix > 0 && rest.isEmpty ? min(prefix, facts.maxItems ?? prefix) : facts.maxItems
        let contained = nodes.filter {
            $0.contains != nil && ($0.minContains ?? 1 > 0 || $0.maxContains != nil)
        }
        guard contained.count <= 1 else { throw unsupported(facts, "contains", "one contains at a time") }
        if let node = contained.first {
            return try list(
                facts, containing: node, maxItems: last, schemas: (0...prefix).map(schemas(at:)))
        }
        var tail = try items(from: prefix, value(rest), minimum: facts.minItems, maximum: last)
        for position in (0..<prefix).reversed() {
            let item = value(schemas(at: position))
            var options: [Expression] = position >= facts.minItems ? [close("]")] : []
            if position < last ?? .max {
                let comma = position > 0 ? Expression.sequence([.text(","), json.space]) : .empty
                options.append(.sequence([comma, item, tail]))
            }
            tail = .rule(json.add("items", .choice(options)))
        }
        return .sequence([.text("["), json.space, tail])
    }

    private func close(_ bracket: String) -> Expression { .sequence([json.space, .text(bracket)]) }

    /// Items alike from `start` on, then the bracket.
    private func items(
        from start: Int, _ item: Expression, minimum: Int, maximum: Int?
    ) throws(StructuredOutputError) -> Expression {
        let next = Expression.sequence([.text(","), json.space, item])
        guard maximum ?? .max > start else { return minimum > start ? .nothing : close("]") }
        if start > 0 {
            return .sequence([
                .repetition(next, minimum: max(minimum - start, 0), maximum: maximum.map { $0 - start }),
                close("]"),
            ])
        }
        let some = Expression.sequence([
            item, .repetition(next, minimum: max(minimum - 1, 0), maximum: maximum.map { $0 - 1 }),
            json.space,
        ])
        return .sequence([minimum > 0 ? some : .optional(some), .text("]")])
    }

    /// How much of a list has been written: items, and those that `contains` counts, as far as it matters.
    private struct Written: Hashable {
        var items: Int
        var found: Int
    }

    /// Items of which some must satisfy a schema, and perhaps no more than that.
    ///
    /// - Parameter schemas: Of each item; the last is that of all further ones.
    private mutating func list(
        _ facts: SchemaFacts, containing node: SchemaNode, maxItems: Int?, schemas: [[SchemaNode.Index]]
    ) throws(StructuredOutputError) -> Expression {
        guard let contained = node.contains else { return .nothing }
        let least = node.minContains ?? 1
        guard least <= node.maxContains ?? .max, least <= maxItems ?? .max else { return .nothing }
        // Beyond these counts nothing changes.
        let items = max(maxItems ?? facts.minItems, facts.minItems, schemas.count - 1, 1)
        let found = node.maxContains ?? least
        let states = items.multipliedReportingOverflow(by: found &+ 1)
        guard !states.overflow, found < .max, states.partialValue <= limits.networkSize / 16 else {
            throw StructuredOutputError(
                .tooComplex, at: place(facts),
                expected: "at most \(limits.networkSize / 16) ways to count items",
                found: "more")
        }
        let start = Written(items: 0, found: 0)
        let first = json.reserve("items")
        var (known, pending) = ([start: first], [start])
        while let written = pending.popLast() {
            guard let rule = known[written] else { continue }
            var options: [Expression] = []
            if written.items >= facts.minItems, written.found >= least { options.append(close("]")) }
            func add(_ item: Expression, isFound: Bool) {
                let next = Written(
                    items: min(written.items + 1, items),
                    found: min(written.found + (isFound ? 1 : 0), found))
                let following = known[next] ?? json.reserve("items")
                if known.updateValue(following, forKey: next) == nil { pending.append(next) }
                let comma = written.items > 0 ? Expression.sequence([.text(","), json.space]) : .empty
                options.append(.sequence([comma, item, .rule(following)]))
            }
            if written.items < maxItems ?? .max {
                let wanted = schemas[min(written.items, schemas.count - 1)]
                let isCounted = node.maxContains != nil
                add(value(wanted, refusing: isCounted ? [contained] : []), isFound: false)
                if written.found < found { add(value(wanted + [contained]), isFound: true) }
            }
            json.define(rule, .choice(options))
        }
        return .sequence([.text("["), json.space, .rule(first)])
    }
}
