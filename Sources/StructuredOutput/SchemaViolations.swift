import JSON
import OrderedCollections

/// What `not`, `oneOf` and conditions need: the ways in which a value may fail to satisfy a schema.
extension SchemaAlternatives {
    /// Of the ways to satisfy the condition and its consequence, or neither it nor the alternative's opposite.
    mutating func conditional(
        _ condition: SchemaNode.Index, _ node: SchemaNode
    ) throws(StructuredOutputError) -> [SchemaFacts] {
        var holds = try of(condition)
        if let consequence = node.consequence { holds = try product(holds, try of(consequence), node) }
        var fails = try violations(condition, node, "if")
        if let alternative = node.alternative { fails = try product(fails, try of(alternative), node) }
        return holds + fails
    }

    mutating func exactlyOne(
        _ options: [SchemaNode.Index], _ node: SchemaNode
    ) throws(StructuredOutputError) -> [SchemaFacts] {
        if try excludeEachOther(options) { return try union(options) }
        var result: [SchemaFacts] = []
        for option in options {
            var ways = try of(option)
            for other in options where other != option {
                ways = try product(ways, try violations(other, node, "oneOf"), node)
            }
            result += ways
        }
        return result
    }

    /// Errors: `unsupported` at the parent's keyword, for schemas whose opposite no grammar here can say.
    mutating func violations(
        _ index: SchemaNode.Index, _ parent: SchemaNode, _ keyword: String
    ) throws(StructuredOutputError) -> [SchemaFacts] {
        let node = document[index]
        if let constant = node.constant { return constant ? [] : [SchemaFacts()] }
        guard node.hasOpposite else {
            throw unsupported(
                parent, keyword,
                "schemas whose opposite is plain: of types, values, bounds, lengths, required and properties")
        }
        depth += 1
        defer { depth -= 1 }
        work += 1
        let limits = document.limits
        guard depth <= limits.referenceDepth, work <= limits.work / 100 else {
            throw StructuredOutputError(
                .tooComplex, at: node.place, expected: "at most \(limits.referenceDepth) schemas of schemas",
                found: "more")
        }
        var result = violationsOfKeywords(node)
        for values in [node.allowed, node.constants].compactMap(\.self) {
            result += try others(than: values, parent, keyword)
        }
        for part in [node.reference].compactMap(\.self) + node.all {
            result += try violations(part, parent, keyword)
        }
        if let options = node.any {
            var ways = [SchemaFacts()]
            for option in options { ways = try product(ways, try violations(option, parent, keyword), node) }
            result += ways
        }
        if let not = node.not { result += try of(not) }
        return result
    }

    /// Each keyword by itself; a value that violates one of them violates the schema.
    private func violationsOfKeywords(_ node: SchemaNode) -> [SchemaFacts] {
        var result: [SchemaFacts] = []
        func add(_ types: SchemaTypes, _ change: (inout SchemaFacts) -> Void) {
            var facts = SchemaFacts()
            facts.types = types
            change(&facts)
            if !types.isEmpty { result.append(facts) }
        }
        if node.types != .all { add(.all.subtracting(node.types)) { _ in } }
        for bound in node.minimum {
            add(.number) { $0.maximum = .init(value: bound.value, isExclusive: !bound.isExclusive) }
        }
        for bound in node.maximum {
            add(.number) { $0.minimum = .init(value: bound.value, isExclusive: !bound.isExclusive) }
        }
        if node.minLength > 0 { add(.string) { $0.maxLength = node.minLength - 1 } }
        if let most = node.maxLength, most < .max { add(.string) { $0.minLength = most + 1 } }
        if node.minItems > 0 { add(.array) { $0.maxItems = node.minItems - 1 } }
        if let most = node.maxItems, most < .max { add(.array) { $0.minItems = most + 1 } }
        if node.minProperties > 0 { add(.object) { $0.maxProperties = node.minProperties - 1 } }
        if let most = node.maxProperties, most < .max { add(.object) { $0.minProperties = most + 1 } }
        for name in node.required { add(.object) { $0.forbidden = [name] } }
        for (name, schema) in node.properties {
            add(.object) { facts in
                facts.required = [name]
                facts.refused = [name: [schema]]
            }
        }
        return result
    }

    /// Values other than all of those.
    private mutating func others(
        than values: [JSONValue], _ parent: SchemaNode, _ keyword: String
    ) throws(StructuredOutputError) -> [SchemaFacts] {
        var result = [SchemaFacts()]
        for value in values {
            var other = SchemaFacts()
            var ways: [SchemaFacts]
            switch value {
            case .null:
                other.types = .all.subtracting(.null)
                ways = [other]
            case .bool, .string:
                other.excluded = [value]
                ways = [other]
            case .integer, .number:
                guard let number = Decimal(value) else {
                    throw unsupported(parent, keyword, "numbers of at most 15 digits")
                }
                other.types = .all.subtracting(.number)
                var (below, above) = (SchemaFacts(), SchemaFacts())
                (below.types, above.types) = (.number, .number)
                below.maximum = .init(value: number, isExclusive: true)
                above.minimum = .init(value: number, isExclusive: true)
                ways = [other, below, above]
            case .array, .object:
                throw unsupported(parent, keyword, "no lists and objects as values to differ from")
            }
            result = try product(result, ways, parent)
        }
        return result
    }
}

extension SchemaNode {
    /// Whether a value that does not satisfy it can be described.
    fileprivate var hasOpposite: Bool {
        one == nil && condition == nil && multipleOf == nil && pattern == nil && format == nil
            && patternProperties.isEmpty && additionalProperties == nil && unevaluatedProperties == nil
            && propertyNames == nil && dependentRequired.isEmpty && dependentSchemas.isEmpty
            && prefixItems.isEmpty && items == nil && unevaluatedItems == nil && contains == nil
            && !uniqueItems
    }
}
