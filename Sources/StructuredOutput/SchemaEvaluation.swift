import JSON
import OrderedCollections

/// One value's evaluation against a schema. Throws `violated` where it fails.
struct SchemaEvaluation {
    let document: SchemaDocument
    let patterns: SchemaPatterns
    private var work = 0
    private var depth = 0

    init(document: SchemaDocument, patterns: SchemaPatterns) {
        (self.document, self.patterns) = (document, patterns)
    }

    /// Members and items that a keyword has looked at, for `unevaluatedProperties` and `unevaluatedItems`.
    struct Seen {
        var members: Set<JSONKey> = []
        var items: Set<Int> = []

        mutating func formUnion(_ other: Seen) {
            members.formUnion(other.members)
            items.formUnion(other.items)
        }
    }

    private func require(
        _ condition: Bool, _ place: String, _ expected: @autoclosure () -> String,
        _ value: @autoclosure () -> JSONValue
    ) throws(StructuredOutputError) {
        guard condition else {
            let place = place.isEmpty ? "answer" : "answer at " + place
            throw StructuredOutputError(.violated, at: place, expected: expected(), found: value().serialized)
        }
    }

    mutating func evaluate(
        _ index: SchemaNode.Index, _ value: JSONValue, at place: String
    ) throws(StructuredOutputError) -> Seen {
        let node = document[index]
        (work, depth) = (work + 1, depth + 1)
        defer { depth -= 1 }
        let limits = document.limits
        guard work <= limits.work / 2, depth <= limits.evaluationDepth else {
            throw StructuredOutputError(
                .tooComplex, at: node.place,
                expected: "at most \(limits.work / 2) steps to validate, \(limits.evaluationDepth) deep",
                found: "more")
        }
        if let constant = node.constant {
            try require(constant, place, "nothing (\(node.place) is false)", value)
            return Seen()
        }
        try require(
            node.types.contains(SchemaTypes(of: value)), place, "the type of \(node.place)", value)
        for allowed in [node.allowed, node.constants] {
            guard let allowed else { continue }
            try require(
                allowed.contains { $0.isSame(as: value) }, place, "a value of \(node.place)", value)
        }
        var seen = Seen()
        try applyInPlace(node, value, place, &seen)
        switch value {
        case .integer, .number: try number(node, value, place)
        case .string(let text): try string(node, text, place)
        case .array(let items): try array(node, items, place, &seen)
        case .object(let members): try object(node, members, place, &seen)
        case .null, .bool: break
        }
        return seen
    }

    /// What a subschema has looked at; nil when the value does not satisfy it.
    private mutating func attempt(
        _ index: SchemaNode.Index, _ value: JSONValue, _ place: String
    ) throws(StructuredOutputError) -> Seen? {
        do throws(StructuredOutputError) {
            return try evaluate(index, value, at: place)
        } catch  where error.code == .violated {
            return nil
        }
    }

    private mutating func applyInPlace(
        _ node: SchemaNode, _ value: JSONValue, _ place: String, _ seen: inout Seen
    ) throws(StructuredOutputError) {
        if let reference = node.reference { seen.formUnion(try evaluate(reference, value, at: place)) }
        for index in node.all { seen.formUnion(try evaluate(index, value, at: place)) }
        for (options, isOne) in [(node.any, false), (node.one, true)] {
            guard let options else { continue }
            var matches = 0
            for option in options {
                guard let found = try attempt(option, value, place) else { continue }
                matches += 1
                seen.formUnion(found)
            }
            let name = isOne ? "one schema of \(node.place)/oneOf" : "a schema of \(node.place)/anyOf"
            try require(isOne ? matches == 1 : matches > 0, place, name, value)
        }
        if let not = node.not {
            try require(try attempt(not, value, place) == nil, place, "not \(node.place)/not", value)
        }
        if let condition = node.condition {
            if let found = try attempt(condition, value, place) {
                seen.formUnion(found)
                if let then = node.consequence { seen.formUnion(try evaluate(then, value, at: place)) }
            } else if let alternative = node.alternative {
                seen.formUnion(try evaluate(alternative, value, at: place))
            }
        }
    }

    private func number(
        _ node: SchemaNode, _ value: JSONValue, _ place: String
    ) throws(StructuredOutputError) {
        guard let number = Decimal(value) else { return }
        for bound in node.minimum {
            let isInside = bound.isExclusive ? number > bound.value : number >= bound.value
            try require(isInside, place, "at least the minimum of \(node.place)", value)
        }
        for bound in node.maximum {
            let isInside = bound.isExclusive ? number < bound.value : number <= bound.value
            try require(isInside, place, "at most the maximum of \(node.place)", value)
        }
        if let unit = node.multipleOf {
            try require(number.isMultiple(of: unit), place, "a multiple of \(unit.double)", value)
        }
    }

    private func string(
        _ node: SchemaNode, _ text: String, _ place: String
    ) throws(StructuredOutputError) {
        let length = node.minLength > 0 || node.maxLength != nil ? text.unicodeScalars.count : 0
        try require(
            length >= node.minLength && length <= node.maxLength ?? .max, place,
            "a length within \(node.place)", .string(text))
        if let pattern = node.pattern {
            try require(patterns.occurs(pattern, in: text), place, "a match of \(pattern)", .string(text))
        }
        if let name = node.format, let format = patterns.format(name) {
            try require(format.matches(text.utf8), place, "the format \(name)", .string(text))
        }
    }
}

extension SchemaEvaluation {
    private mutating func array(
        _ node: SchemaNode, _ items: [JSONValue], _ place: String, _ seen: inout Seen
    ) throws(StructuredOutputError) {
        let whole = JSONValue.array(items)
        try require(
            items.count >= node.minItems && items.count <= node.maxItems ?? .max, place,
            "a number of items within \(node.place)", whole)
        for (position, item) in items.enumerated() {
            let schema = position < node.prefixItems.count ? node.prefixItems[position] : node.items
            guard let schema else { continue }
            _ = try evaluate(schema, item, at: place + "/\(position)")
            seen.items.insert(position)
        }
        if let contains = node.contains {
            var count = 0
            for (position, item) in items.enumerated()
            where try attempt(contains, item, place + "/\(position)") != nil {
                count += 1
                seen.items.insert(position)
            }
            try require(
                count >= node.minContains ?? 1 && count <= node.maxContains ?? .max, place,
                "as many matches of \(node.place)/contains as it asks for", whole)
        }
        if node.uniqueItems {
            try require(
                Set(items.map(\.canonical)).count == items.count, place, "items that differ", whole)
        }
        if let rest = node.unevaluatedItems {
            for (position, item) in items.enumerated() where !seen.items.contains(position) {
                _ = try evaluate(rest, item, at: place + "/\(position)")
                seen.items.insert(position)
            }
        }
    }

    private mutating func object(
        _ node: SchemaNode, _ members: JSONValue.Members, _ place: String, _ seen: inout Seen
    ) throws(StructuredOutputError) {
        let whole = JSONValue.object(members)
        try require(
            members.count >= node.minProperties && members.count <= node.maxProperties ?? .max, place,
            "a number of members within \(node.place)", whole)
        for name in node.required {
            try require(members[name] != nil, place, "a member \"\(name)\"", whole)
        }
        for (name, others) in node.dependentRequired where members[name] != nil {
            for other in others {
                try require(members[other] != nil, place, "\"\(other)\" beside \"\(name)\"", whole)
            }
        }
        for (name, schema) in node.dependentSchemas where members[name] != nil {
            seen.formUnion(try evaluate(schema, whole, at: place))
        }
        if let names = node.propertyNames {
            for name in members.keys { _ = try evaluate(names, .string(name.string), at: place + "/\(name)") }
        }
        for (name, value) in members {
            var isKnown = false
            if let schema = node.properties[name] {
                isKnown = true
                _ = try evaluate(schema, value, at: place + "/\(name)")
            }
            for (pattern, schema) in node.patternProperties
            where patterns.occurs(pattern.string, in: name.string) {
                isKnown = true
                _ = try evaluate(schema, value, at: place + "/\(name)")
            }
            if !isKnown, let schema = node.additionalProperties {
                isKnown = true
                _ = try evaluate(schema, value, at: place + "/\(name)")
            }
            if isKnown { seen.members.insert(name) }
        }
        if let rest = node.unevaluatedProperties {
            for (name, value) in members where !seen.members.contains(name) {
                _ = try evaluate(rest, value, at: place + "/\(name)")
                seen.members.insert(name)
            }
        }
    }
}
