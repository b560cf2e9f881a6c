public import JSON

/// A text made of parts: literals, JSON documents, free text.
public indirect enum AnswerStructure: Sendable {
    case literal(String)
    /// A text that the regular expression matches from end to end.
    case regex(String)
    /// Any text but those that the regular expression matches from end to end.
    case otherThan(regex: String)
    /// Any text that has none of these in it.
    case lacking([String])
    /// A JSON document that satisfies the schema.
    case jsonSchema(JSONValue, JSONSpelling = .json)
    /// The members of an object that satisfies the schema, without braces, in the schema's order.
    case members(JSONValue, MemberStyle)
    case sequence([AnswerStructure])
    case choice([AnswerStructure])
    /// `atMost` nil: without end.
    case repetition(AnswerStructure, separator: String, atLeast: Int, atMost: Int?)
    /// Free text. Where one of `triggers` first occurs in it, `continuation` must follow, then free text again,
    /// in which triggers occur only where it is `repeated`. The texts `never` occur in no free text.
    case triggered(by: [String], then: AnswerStructure, never: [String], isRepeated: Bool)

    /// Equal for structures that say the same in the same words.
    var key: [String] {
        switch self {
        case .literal(let text): ["literal", text]
        case .regex(let pattern): ["regex", pattern]
        case .otherThan(let pattern): ["other", pattern]
        case .lacking(let texts): ["lacking", "\(texts.count)"] + texts
        case .jsonSchema(let schema, let spelling): ["schema", "\(spelling)", schema.serialized]
        case .members(let schema, let style): ["members", schema.serialized] + style.key
        case .sequence(let parts): ["sequence", "\(parts.count)"] + parts.flatMap(\.key)
        case .choice(let options): ["choice", "\(options.count)"] + options.flatMap(\.key)
        case .repetition(let body, let separator, let least, let most):
            ["repetition", separator, "\(least)", most.map(String.init) ?? "-"] + body.key
        case .triggered(let triggers, let continuation, let never, let isRepeated):
            ["triggered", "\(triggers.count)"] + triggers + ["\(never.count)"] + never
                + ["\(isRepeated)"] + continuation.key
        }
    }
}

extension Grammar {
    /// Texts made of parts.
    ///
    /// Errors: `invalid`, `unsupported`, `unsatisfiable`, `tooComplex`; those of the parts.
    public init(
        structure: AnswerStructure, whitespace: JSONWhitespace = .singleSpace,
        limits: GrammarLimits = GrammarLimits()
    ) throws(StructuredOutputError) {
        var compiler = StructureCompiler(whitespace: whitespace, limits: limits)
        self.init(rules: try compiler.compile(structure), limits: limits)
    }
}
