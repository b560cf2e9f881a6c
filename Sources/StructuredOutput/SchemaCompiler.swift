import JSON
import OrderedCollections

/// Translates a schema to rules whose texts are the documents that satisfy it.
struct SchemaCompiler {
    let document: SchemaDocument
    let patterns: SchemaPatterns
    let limits: GrammarLimits
    var alternatives: SchemaAlternatives
    var json: JSONRules
    /// Schemas that a value must satisfy, and others that it must not.
    private struct Wanted: Hashable {
        let nodes: [SchemaNode.Index]
        let refused: [SchemaNode.Index]
    }

    /// The rules of values, by what is wanted.
    private var known: [Wanted: Int] = [:]
    /// Transitions of the automata so far.
    private var size = 0
    /// Rules reserved whose bodies are still to be made.
    private var pending: [(rule: Int, wanted: Wanted)] = []

    init(
        _ schema: JSONValue, whitespace: JSONWhitespace, limits: GrammarLimits,
        spelling: JSONSpelling = .json
    ) throws(StructuredOutputError) {
        document = try SchemaDocument(schema, limits: limits)
        patterns = try SchemaPatterns(document, assertsFormats: true)
        self.limits = limits
        alternatives = SchemaAlternatives(document: document, patterns: patterns)
        json = JSONRules(whitespace: whitespace, spelling: spelling)
    }

    mutating func compile() throws(StructuredOutputError) -> RuleSet {
        let root = value([document.root])
        try finish()
        return json.finished(root: root)
    }

    /// The rules, and a document by them.
    mutating func parts() throws(StructuredOutputError) -> (RuleSet, Expression) {
        let root = value([document.root])
        try finish()
        return (json.finished(root: root), root)
    }

    /// The rules, and the members of a document, an object, by them.
    mutating func parts(membersIn style: MemberStyle) throws(StructuredOutputError) -> (RuleSet, Expression) {
        var options: [Expression] = []
        let isNever = document[document.root].constant == false
        for facts in isNever ? [] : try alternatives.all([document.root]) {
            guard facts.types.contains(.object) else { continue }
            guard facts.allowed.isEmpty else { throw unsupported(facts, "enum", "no values of objects") }
            options.append(try object(facts, style: style))
        }
        try finish()
        return (json.finished(root: .nothing), .choice(options))
    }

    /// Makes the bodies of all rules reserved.
    private mutating func finish() throws(StructuredOutputError) {
        while let (rule, wanted) = pending.popLast() {
            var options: [Expression] = []
            for facts in try ways(wanted.nodes, refusing: wanted.refused) { options.append(try body(facts)) }
            json.define(rule, .choice(options))
        }
    }

    /// A value that satisfies all of the schemas, and none of those refused.
    mutating func value(
        _ nodes: some Sequence<SchemaNode.Index>, refusing refused: some Sequence<SchemaNode.Index> = []
    ) -> Expression {
        let nodes = Set(nodes).filter { document[$0].constant != true }.sorted()
        if nodes.contains(where: { document[$0].constant == false }) { return .nothing }
        let refused = Set(refused).filter { document[$0].constant != false }.sorted()
        guard let first = nodes.first ?? refused.first else { return .rule(json.value) }
        let wanted = Wanted(nodes: nodes, refused: refused)
        if let rule = known[wanted] { return .rule(rule) }
        let rule = json.reserve(document[first].place)
        known[wanted] = rule
        pending.append((rule, wanted))
        return .rule(rule)
    }

    /// The ways to satisfy all of `nodes` and none of `refused`.
    private mutating func ways(
        _ nodes: [SchemaNode.Index], refusing refused: [SchemaNode.Index]
    ) throws(StructuredOutputError) -> [SchemaFacts] {
        var result = try alternatives.all(nodes)
        for index in refused {
            let node = document[index]
            result = try alternatives.product(result, try alternatives.violations(index, node, "not"), node)
        }
        return result
    }

    /// The first place of the schemas that a value is to satisfy, for errors.
    func place(_ facts: SchemaFacts) -> String { facts.nodes.first.map { document[$0].place } ?? "#" }

    func unsupported(_ facts: SchemaFacts, _ keyword: String, _ expected: String) -> StructuredOutputError {
        StructuredOutputError(
            .unsupported, at: place(facts) + "/" + keyword, expected: expected, found: keyword)
    }

    private mutating func body(_ facts: SchemaFacts) throws(StructuredOutputError) -> Expression {
        if let values = facts.allowed.first {
            var texts: [[UInt8]] = []
            for value in values where facts.types.contains(SchemaTypes(of: value)) {
                guard try satisfies(value, facts) else { continue }
                texts.append(Array(json.spelling.text(value).utf8))
            }
            return texts.isEmpty ? .nothing : .literals(texts)
        }
        var options: [Expression] = []
        if facts.types.contains(.null) { options.append(.text(json.spelling.text(nil))) }
        if facts.types.contains(.boolean) {
            let values = [true, false].map(JSONValue.bool).filter { !facts.excluded.contains($0) }
            options.append(.choice(values.map { .text(json.spelling.text($0)) }))
        }
        for scalar in [
            facts.types.contains(.string) ? try string(facts) : nil,
            facts.types.contains(.integer) ? try number(facts) : nil,
        ] {
            guard let scalar else { continue }
            try charge(scalar, facts)
            options.append(scalar)
        }
        if facts.types.contains(.array) { options.append(try array(facts)) }
        if facts.types.contains(.object) { options.append(try object(facts, style: nil)) }
        return .choice(options)
    }

    /// Counts automata, so that many small ones do not add up to a long time.
    private mutating func charge(
        _ expression: Expression, _ facts: SchemaFacts
    ) throws(StructuredOutputError) {
        switch expression {
        case .automaton(let automaton, _): size += automaton.size
        case .sequence(let parts): for part in parts { try charge(part, facts) }
        default: break
        }
        guard size <= limits.automatonWork else {
            throw StructuredOutputError(
                .tooComplex, at: place(facts),
                expected: "patterns and ranges of at most \(limits.automatonWork) transitions", found: "more")
        }
    }

    private func satisfies(_ value: JSONValue, _ facts: SchemaFacts) throws(StructuredOutputError) -> Bool {
        for node in facts.nodes where !(try alternatives.validator.accepts(value, node)) { return false }
        guard !facts.excluded.contains(value), isWithin(facts, value) else { return false }
        guard let members = value.object else { return true }
        for (name, schemas) in facts.refused {
            guard let member = members[name] else { continue }
            for schema in schemas where try alternatives.validator.accepts(member, schema) { return false }
        }
        return facts.required.allSatisfy { members[$0] != nil }
            && facts.forbidden.allSatisfy { members[$0] == nil }
    }

    /// Bounds may have come from the opposite of a schema, so that no node says them.
    private func isWithin(_ facts: SchemaFacts, _ value: JSONValue) -> Bool {
        let count: Int
        switch value {
        case .integer, .number:
            guard let number = Decimal(value) else { return false }
            let isAbove = facts.minimum.map { $0.isExclusive ? number > $0.value : number >= $0.value }
            let isBelow = facts.maximum.map { $0.isExclusive ? number < $0.value : number <= $0.value }
            return isAbove ?? true && isBelow ?? true
        case .string(let text):
            count = text.unicodeScalars.count
            return count >= facts.minLength && count <= facts.maxLength ?? .max
        case .array(let values):
            return values.count >= facts.minItems && values.count <= facts.maxItems ?? .max
        case .object(let members):
            return members.count >= facts.minProperties && members.count <= facts.maxProperties ?? .max
        case .null, .bool: return true
        }
    }
}

extension SchemaCompiler {
    private func string(_ facts: SchemaFacts) throws(StructuredOutputError) -> Expression {
        if facts.patterns.isEmpty, facts.formats.isEmpty, facts.excluded.allSatisfy({ $0.string == nil }) {
            guard facts.minLength > 0 || facts.maxLength != nil else { return .rule(json.string) }
            guard facts.minLength <= facts.maxLength ?? .max else { return .nothing }
            let characters = Expression.repetition(
                .rule(json.character), minimum: facts.minLength, maximum: facts.maxLength)
            return .sequence([.text("\""), characters, .text("\"")])
        }
        guard let automaton = try texts(facts) else { return .rule(json.string) }
        return .sequence([.text("\""), .automaton(automaton, escaping: .json(json.spelling)), .text("\"")])
    }

    /// Strings as they are, without quotes, that lack `end`.
    mutating func bareString(
        _ schemas: [SchemaNode.Index], lacking end: String
    ) throws(StructuredOutputError) -> Expression {
        var options: [Expression] = []
        for facts in try alternatives.all(schemas) where facts.types.contains(.string) {
            guard facts.types == .string || !facts.allowed.isEmpty else {
                throw unsupported(facts, "type", "strings alone")
            }
            options.append(try bareString(facts, lacking: end))
        }
        return .choice(options)
    }

    private mutating func bareString(
        _ facts: SchemaFacts, lacking end: String
    ) throws(StructuredOutputError) -> Expression {
        if let values = facts.allowed.first {
            var texts: [[UInt8]] = []
            for value in values {
                guard let text = value.string, !text.contains(end), try satisfies(value, facts) else {
                    continue
                }
                texts.append(Array(text.utf8))
            }
            return texts.isEmpty ? .nothing : .literals(texts)
        }
        if facts.patterns.isEmpty, facts.formats.isEmpty, facts.excluded.isEmpty,
            facts.minLength > 0 || facts.maxLength != nil
        {
            // Counting to a length and towards the end at once would take as many states as their product.
            let characters = ScalarSet.all.subtracting(ScalarSet(end.prefix(1)))
            return facts.minLength <= facts.maxLength ?? .max
                ? .repetition(.scalars(characters), minimum: facts.minLength, maximum: facts.maxLength)
                : .nothing
        }
        let all = Expression.many(.scalars(.all))
        let place = place(facts)
        let holding = try Automaton(.sequence([all, .text(end), all]), limits: limits, place: place)
        var allowed = try Automaton(all, limits: limits, place: place)
        if let texts = try texts(facts) { allowed = texts }
        let result = Expression.automaton(
            try allowed.subtracting(holding, limits: limits, place: place), escaping: .none)
        try charge(result, facts)
        return result
    }

    /// The strings that patterns, formats and lengths allow; nil for all.
    func texts(_ facts: SchemaFacts) throws(StructuredOutputError) -> Automaton? {
        let place = place(facts)
        var result: Automaton?
        func narrow(_ automaton: Automaton) throws(StructuredOutputError) {
            result = try result?.intersection(automaton, limits: limits, place: place) ?? automaton
        }
        for name in facts.formats { if let format = patterns.format(name) { try narrow(format) } }
        for pattern in facts.patterns { if let pattern = patterns.pattern(pattern) { try narrow(pattern) } }
        if facts.minLength > 0 || facts.maxLength != nil {
            let lengths = Expression.repetition(
                .scalars(.all), minimum: facts.minLength, maximum: facts.maxLength)
            try narrow(
                facts.minLength <= facts.maxLength ?? .max
                    ? try Automaton(lengths, limits: limits, place: place)
                    : try Automaton(.nothing, limits: limits, place: place))
        }
        let excluded = facts.excluded.compactMap(\.string)
        guard !excluded.isEmpty else { return result }
        if result == nil { try narrow(try Automaton(.many(.scalars(.all)), limits: limits, place: place)) }
        let values = try Automaton(
            .literals(excluded.map { Array($0.utf8) }), limits: limits, place: place)
        return try result?.subtracting(values, limits: limits, place: place)
    }

    private func number(_ facts: SchemaFacts) throws(StructuredOutputError) -> Expression {
        let isInteger = !facts.types.contains(.fraction)
        if facts.minimum == nil, facts.maximum == nil, facts.multiples.isEmpty {
            return .rule(isInteger ? json.integer : json.number)
        }
        let language = NumberLanguage(isInteger: isInteger, limits: limits, place: place(facts))
        return .automaton(
            try language.automaton(
                minimum: facts.minimum, maximum: facts.maximum, multiples: facts.multiples), escaping: .none)
    }
}
