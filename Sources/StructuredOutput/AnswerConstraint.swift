public import JSON

/// What a request asks of its answer.
public enum AnswerConstraint: Sendable {
    /// A JSON document that satisfies the schema.
    case jsonSchema(JSONValue)
    /// Any JSON object.
    case jsonObject
    /// A text that the regular expression matches from end to end.
    case regex(String)
    /// One of the texts.
    case choice([String])
    /// A text of the rule `root` of a GBNF or EBNF grammar.
    case grammar(String)
    /// A text made of parts.
    case structure(AnswerStructure)

    /// Errors: those of `Grammar`'s initialisers.
    public func read(
        whitespace: JSONWhitespace = .singleSpace, limits: GrammarLimits = GrammarLimits()
    ) throws(StructuredOutputError) -> Grammar {
        switch self {
        case .jsonSchema(let schema): try Grammar(jsonSchema: schema, whitespace: whitespace, limits: limits)
        case .jsonObject: Grammar.jsonObject(whitespace: whitespace, limits: limits)
        case .regex(let pattern): try Grammar(regex: pattern, limits: limits)
        case .choice(let texts): try Grammar(choices: texts, limits: limits)
        case .grammar(let text): try Grammar(grammar: text, limits: limits)
        case .structure(let parts): try Grammar(structure: parts, whitespace: whitespace, limits: limits)
        }
    }

    /// Equal for constraints that say the same in the same words.
    var key: [String] {
        switch self {
        case .jsonSchema(let schema): ["schema", schema.serialized]
        case .jsonObject: ["object"]
        case .regex(let pattern): ["regex", pattern]
        case .choice(let texts): ["choice"] + texts
        case .grammar(let text): ["grammar", text]
        case .structure(let parts): ["structure"] + parts.key
        }
    }
}

/// A constraint made ready: tokens are chosen by its grammar, finished answers checked.
public struct CompiledConstraint: Sendable {
    public let grammar: CompiledGrammar
    private let isJSON: Bool
    private let validator: JSONSchemaValidator?

    /// Errors: those of `Grammar` and `CompiledGrammar`.
    public init(
        _ constraint: AnswerConstraint, tokens: TokenTrie, whitespace: JSONWhitespace = .singleSpace,
        limits: GrammarLimits = GrammarLimits()
    ) throws(StructuredOutputError) {
        grammar = try CompiledGrammar(
            try constraint.read(whitespace: whitespace, limits: limits), tokens: tokens)
        switch constraint {
        case .jsonSchema(let schema):
            (isJSON, validator) = (true, try JSONSchemaValidator(schema, limits: limits))
        case .jsonObject: (isJSON, validator) = (true, nil)
        case .regex, .choice, .grammar, .structure: (isJSON, validator) = (false, nil)
        }
    }

    /// Checks a finished answer, by other means than those that made it where it is JSON.
    ///
    /// Errors: `violated`.
    public func validate(_ answer: String) throws(StructuredOutputError) {
        guard isJSON else {
            var matcher = grammar.matcher()
            let bytes = Array(answer.utf8)
            guard bytes.isEmpty || matcher.advance(bytes: bytes), matcher.isComplete else {
                throw StructuredOutputError(
                    .violated, at: "answer", expected: "a text of the grammar", found: answer)
            }
            return
        }
        let document: JSONValue
        do throws(JSONError) {
            document = try JSONValue(parsing: answer)
        } catch {
            throw StructuredOutputError(
                .violated, at: "answer", expected: "a JSON document", found: error.description)
        }
        try validator?.validate(document)
    }
}
