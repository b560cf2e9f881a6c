import JSON

/// Translates a text's parts to rules, with those that all JSON shares once for each spelling.
struct StructureCompiler {
    let whitespace: JSONWhitespace
    let limits: GrammarLimits
    private var rules = RuleSet()
    /// Where the rules of JSON in a spelling begin.
    private var common: [JSONSpelling: Int] = [:]
    private let place = "structure"

    init(whitespace: JSONWhitespace, limits: GrammarLimits) {
        (self.whitespace, self.limits) = (whitespace, limits)
    }

    mutating func compile(_ structure: AnswerStructure) throws(StructuredOutputError) -> RuleSet {
        let body = try expression(structure)
        rules.root = rules.add("answer", body)
        return rules
    }

    private mutating func expression(
        _ structure: AnswerStructure
    ) throws(StructuredOutputError) -> Expression {
        switch structure {
        case .literal(let text): return .text(text)
        case .regex(let pattern):
            let parsed = try RegexParser.parse(pattern, limits: limits, place: place)
            return try parsed.wholeText(limits: limits, place: place)
        case .otherThan(let pattern):
            let parsed = try RegexParser.parse(pattern, limits: limits, place: place)
            let matched = try Automaton(
                try parsed.wholeText(limits: limits, place: place), limits: limits, place: place)
            return .automaton(
                try anything().subtracting(matched, limits: limits, place: place), escaping: .none)
        case .lacking(let texts): return .automaton(try lacking(texts), escaping: .none)
        case .jsonSchema(let schema, let spelling):
            return try schemaPart(schema, spelling) { (compiler) throws(StructuredOutputError) in
                try compiler.parts()
            }
        case .members(let schema, let style):
            return try schemaPart(schema, style.spelling) { (compiler) throws(StructuredOutputError) in
                try compiler.parts(membersIn: style)
            }
        case .sequence(let parts): return .sequence(try expressions(parts))
        case .choice(let options): return .choice(try expressions(options))
        case .repetition(let body, let separator, let least, let most):
            let item = Expression.rule(rules.add("part", try expression(body)))
            let next = Expression.sequence([.text(separator), item])
            let some = Expression.sequence([
                item, .repetition(next, minimum: max(least - 1, 0), maximum: most.map { $0 - 1 }),
            ])
            guard most ?? .max > 0 else { return least > 0 ? .nothing : .empty }
            return least > 0 ? some : .optional(some)
        case .triggered(let triggers, let continuation, let never, let isRepeated):
            return try triggered(triggers, continuation, never, isRepeated)
        }
    }

    private mutating func expressions(
        _ parts: [AnswerStructure]
    ) throws(StructuredOutputError) -> [Expression] {
        var result: [Expression] = []
        for part in parts { result.append(try expression(part)) }
        return result
    }

    /// Takes over the rules of a schema, but for those that all schemas share.
    private mutating func schemaPart(
        _ schema: JSONValue, _ spelling: JSONSpelling,
        _ compile: (inout SchemaCompiler) throws(StructuredOutputError) -> (RuleSet, Expression)
    ) throws(StructuredOutputError) -> Expression {
        var compiler = try SchemaCompiler(
            schema, whitespace: whitespace, limits: limits, spelling: spelling)
        let (added, root) = try compile(&compiler)
        let shared = JSONRules.commonCount
        let base = common[spelling] ?? rules.rules.count
        let isNew = common.updateValue(base, forKey: spelling) == nil
        let first = rules.rules.count + (isNew ? shared : 0)
        for rule in isNew ? added.rules[...] : added.rules.dropFirst(shared) {
            _ = rules.add(rule.name, rule.body.renumbered(shared: shared, base: base, first: first))
        }
        return root.renumbered(shared: shared, base: base, first: first)
    }
}

extension StructureCompiler {
    private static let anyText = Expression.many(.scalars(.all))

    private func anything() throws(StructuredOutputError) -> Automaton {
        try Automaton(Self.anyText, limits: limits, place: place)
    }

    /// Texts that end with one of `texts`, and then go on as `rest`.
    private func texts(
        with texts: [String], then rest: Expression
    ) throws(StructuredOutputError) -> Automaton {
        let found = Expression.literals(texts.map { Array($0.utf8) })
        return try Automaton(.sequence([Self.anyText, found, rest]), limits: limits, place: place)
    }

    private func lacking(_ texts: [String]) throws(StructuredOutputError) -> Automaton {
        let found = try self.texts(with: texts, then: Self.anyText)
        return try anything().subtracting(found, limits: limits, place: place)
    }

    private mutating func triggered(
        _ triggers: [String], _ continuation: AnswerStructure, _ never: [String], _ isRepeated: Bool
    ) throws(StructuredOutputError) -> Expression {
        let all = triggers + never
        guard !triggers.isEmpty, !all.contains("") else {
            throw StructuredOutputError(
                .invalid, at: place, expected: "triggers that are not empty",
                found: triggers.isEmpty ? "none" : "\"\"")
        }
        let more = Expression.repetition(.scalars(.all), minimum: 1, maximum: nil)
        // Up to the first trigger, and no further.
        let first = try texts(with: triggers, then: .empty)
            .subtracting(try texts(with: all, then: more), limits: limits, place: place)
            .subtracting(try texts(with: never, then: .empty), limits: limits, place: place)
        let free = Expression.automaton(try lacking(all), escaping: .none)
        let loop = rules.reserve("free text")
        rules.rules[loop].body = .choice([
            free,
            .sequence([
                .automaton(first, escaping: .none), try expression(continuation),
                isRepeated ? .rule(loop) : free,
            ]),
        ])
        return .rule(loop)
    }
}
