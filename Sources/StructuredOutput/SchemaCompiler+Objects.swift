import JSON
import OrderedCollections

extension SchemaCompiler {
    /// A member that a schema names, ready to be written.
    private struct Member {
        let text: Expression
        let isRequired: Bool
    }

    /// How far an object has been written.
    private struct Progress: Hashable {
        /// The next of the named members; their count when only others are left.
        var index: Int
        var isEmpty: Bool
        /// Members so far, while `maxProperties` or `minProperties` still depends on it.
        var most: Int
        var least: Int
    }

    /// A member and what comes after it, shared by the ways to get there.
    private struct Written: Hashable {
        let progress: Progress
        let isNamed: Bool
    }

    /// Named members in the schema's order, then others.
    ///
    /// - Parameter style: Nil for JSON. Otherwise there are no braces, and no members without names.
    mutating func object(
        _ facts: SchemaFacts, style: MemberStyle?
    ) throws(StructuredOutputError) -> Expression {
        guard let members = try members(facts, style) else { return .nothing }
        let others = style == nil ? try others(facts) : nil
        let separator = style.map { .text($0.separator) } ?? Expression.sequence([.text(","), json.space])
        let end = style == nil ? Expression.sequence([json.space, .text("}")]) : .empty
        let required = members.count { $0.isRequired }
        if facts.minProperties > max(required, 1), others != nil {
            // Names may repeat, so that others cannot be counted.
            throw unsupported(
                facts, "minProperties", "at most \(max(required, 1)) where names are not all given")
        }
        let counts = facts.maxProperties.map { others != nil || $0 < members.count } ?? false
        let most = counts ? facts.maxProperties : nil
        let least = facts.minProperties > required ? facts.minProperties : 0

        let start = Progress(index: 0, isEmpty: true, most: 0, least: 0)
        let first = json.reserve("members")
        var (known, pending) = ([start: first], [start])
        var written: [Written: Int] = [:]
        while let place = pending.popLast() {
            guard let rule = known[place] else { continue }
            var options: [Expression] = []
            func rest(_ next: Progress) -> Expression {
                let following = known[next] ?? json.reserve("members")
                if known.updateValue(following, forKey: next) == nil { pending.append(next) }
                return .rule(following)
            }
            func add(_ text: Expression, _ after: Written) {
                let rule = written[after] ?? json.add("member", .sequence([text, rest(after.progress)]))
                written[after] = rule
                let comma = place.isEmpty ? Expression.empty : separator
                options.append(.sequence([comma, .rule(rule)]))
            }
            var after = place
            after.isEmpty = false
            after.most += most == nil ? 0 : 1
            after.least = min(place.least + 1, least)
            let hasRoom = place.most < most ?? .max
            if place.index < members.count {
                let member = members[place.index]
                after.index += 1
                if hasRoom { add(member.text, Written(progress: after, isNamed: true)) }
                if !member.isRequired {
                    var skipped = place
                    skipped.index += 1
                    options.append(rest(skipped))
                }
            } else {
                if let others, hasRoom { add(others, Written(progress: after, isNamed: false)) }
                if place.least >= least { options.append(end) }
            }
            json.define(rule, .choice(options))
            guard known.count <= limits.networkSize / 4 else {
                throw StructuredOutputError(
                    .tooComplex, at: self.place(facts),
                    expected: "at most \(limits.networkSize / 4) ways to count members", found: "more")
            }
        }
        return style == nil ? .sequence([.text("{"), json.space, .rule(first)]) : .rule(first)
    }

    /// Nil when one that is required can never be there.
    private mutating func members(
        _ facts: SchemaFacts, _ style: MemberStyle?
    ) throws(StructuredOutputError) -> [Member]? {
        var names: OrderedSet<JSONKey> = []
        for index in facts.nodes { names.formUnion(document[index].properties.keys) }
        names.formUnion(facts.required)
        var members: [Member] = []
        for name in names {
            let isRequired = facts.required.contains(name)
            let schemas = alternatives.member(name, of: facts)
            let isAllowed = try isAllowedName(name, facts)
            if facts.forbidden.contains(name) || !isAllowed
                || schemas.contains(where: { document[$0].constant == false })
            {
                if isRequired { return nil }
                continue
            }
            let text = try member(name, Array(schemas), style, facts)
            members.append(Member(text: text, isRequired: isRequired))
        }
        return members
    }

    private mutating func member(
        _ key: JSONKey, _ schemas: [SchemaNode.Index], _ style: MemberStyle?, _ facts: SchemaFacts
    ) throws(StructuredOutputError) -> Expression {
        let (name, refused) = (key.string, facts.refused[key] ?? [])
        guard let style else {
            let key = json.spelling.text(.string(name)) + ":"
            return .sequence([.text(key), json.space, value(schemas, refusing: refused)])
        }
        guard style.canWrite(name) else {
            throw StructuredOutputError(
                .unsupported, at: place(facts) + "/properties",
                expected: style.names == .identifiers
                    ? "names of letters, digits and _" : "names without <, > and control characters",
                found: "\"\(name)\"")
        }
        let isBare = style.bareMembers.contains(name)
        guard !isBare || refused.isEmpty else {
            throw unsupported(facts, "not", "no opposites for strings without quotes")
        }
        let value =
            isBare
            ? try bareString(schemas, lacking: style.bareEnd) : value(schemas, refusing: refused)
        return .sequence([
            .text(style.beforeName + name + style.afterName), value, .text(style.afterValue),
        ])
    }

    private func isAllowedName(_ name: JSONKey, _ facts: SchemaFacts) throws(StructuredOutputError) -> Bool {
        for index in facts.nodes {
            guard let names = document[index].propertyNames else { continue }
            if !(try alternatives.validator.accepts(.string(name.string), names)) { return false }
        }
        return true
    }

    /// One member that no schema names; nil when there can be none.
    private mutating func others(_ facts: SchemaFacts) throws(StructuredOutputError) -> Expression? {
        let nodes = facts.nodes.map { document[$0] }
        var patternNames: OrderedSet<String> = []
        for node in nodes { patternNames.formUnion(node.patternProperties.keys.map(\.string)) }
        guard patternNames.count <= 3 else {
            throw unsupported(facts, "patternProperties", "at most three patterns")
        }
        let named = OrderedSet(nodes.flatMap(\.properties.keys)).union(facts.required).union(facts.forbidden)
        let restricted = try restrictedNames(facts)
        var options: [Expression] = []
        for subset in 0..<1 << patternNames.count {
            let matched = patternNames.indices.filter { subset >> $0 & 1 == 1 }.map { patternNames[$0] }
            if matched.isEmpty, !isOpen(nodes, hasNames: !named.isEmpty || !patternNames.isEmpty) { continue }
            let schemas = otherSchemas(nodes, matched)
            if schemas.contains(where: { document[$0].constant == false }) { continue }
            let isFree = patternNames.isEmpty && named.isEmpty && restricted == nil
            let key =
                isFree
                ? Expression.rule(json.string)
                : try otherName(
                    matched, besides: patternNames.subtracting(matched), named, restricted, place(facts))
            if case .nothing = key { continue }
            options.append(.sequence([key, .text(":"), json.space, value(schemas)]))
        }
        return options.isEmpty ? nil : .choice(options)
    }

    /// Whether members that neither names nor patterns cover are generated.
    private func isOpen(_ nodes: [SchemaNode], hasNames: Bool) -> Bool {
        let rest = nodes.compactMap { $0.additionalProperties ?? $0.unevaluatedProperties }
        return !rest.isEmpty || !hasNames
    }

    private func otherSchemas(_ nodes: [SchemaNode], _ matched: [String]) -> [SchemaNode.Index] {
        var schemas: [SchemaNode.Index] = []
        for node in nodes {
            let own = matched.compactMap { node.patternProperties[JSONKey($0)] }
            schemas += own
            if own.isEmpty, let rest = node.additionalProperties ?? node.unevaluatedProperties {
                schemas.append(rest)
            }
        }
        return schemas
    }

    /// The names that `propertyNames` allows; nil for all.
    private mutating func restrictedNames(_ facts: SchemaFacts) throws(StructuredOutputError) -> Automaton? {
        let schemas = facts.nodes.compactMap { document[$0].propertyNames }
        guard !schemas.isEmpty else { return nil }
        var string = SchemaFacts()
        string.types = .string
        let ways = try alternatives.all(schemas).compactMap { $0.merged(with: string) }
        guard ways.count <= 1 else {
            throw unsupported(facts, "propertyNames", "names without a choice of schemas")
        }
        let place = place(facts)
        guard let way = ways.first else { return try Automaton(.nothing, limits: limits, place: place) }
        guard let values = way.allowed.first else { return try texts(way) }
        var names: [[UInt8]] = []
        for value in values {
            guard let name = value.string, try isAllowedName(JSONKey(name), facts) else { continue }
            names.append(Array(name.utf8))
        }
        return try Automaton(names.isEmpty ? .nothing : .literals(names), limits: limits, place: place)
    }

    /// A name that matches some patterns and not others, and is none of `named`, in quotes.
    private func otherName(
        _ matched: [String], besides unmatched: OrderedSet<String>, _ named: OrderedSet<JSONKey>,
        _ restricted: Automaton?, _ place: String
    ) throws(StructuredOutputError) -> Expression {
        var names = try Automaton(.many(.scalars(.all)), limits: limits, place: place)
        if let restricted { names = restricted }
        for pattern in matched {
            guard let automaton = patterns.pattern(pattern) else { continue }
            names = try names.intersection(automaton, limits: limits, place: place)
        }
        for pattern in unmatched {
            guard let automaton = patterns.pattern(pattern) else { continue }
            names = try names.subtracting(automaton, limits: limits, place: place)
        }
        if !named.isEmpty {
            let taken = Expression.literals(named.map { Array($0.string.utf8) })
            names = try names.subtracting(
                Automaton(taken, limits: limits, place: place), limits: limits, place: place)
        }
        guard !names.isEmpty else { return .nothing }
        return .sequence([.text("\""), .automaton(names, escaping: .json(json.spelling)), .text("\"")])
    }
}
