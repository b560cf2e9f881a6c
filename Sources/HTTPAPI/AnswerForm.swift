import JSON
import OrderedCollections
import Serving
import StructuredOutput
import TextGeneration

/// What a request asks of the form of its answer.
struct AnswerForm {
    /// Nil for any text.
    private(set) var constraint: AnswerConstraint?
    /// The only tokens that it may have; nil for all.
    private(set) var allowedTokens: [Int32]?
    /// The field that said so.
    private var field = ""

    private typealias Reading = @Sendable (JSONValue) -> AnswerConstraint?

    /// LightLLM's fields.
    init(native fields: inout RequestFields) throws(APIError) {
        try set("regular_constraint", "a regular expression", &fields) { $0.string.map { .regex($0) } }
        try set("guided_grammar", "a grammar", &fields) { $0.string.map { .grammar($0) } }
        try set("guided_json", "a JSON schema", &fields, Self.schema)
        try readAllowedTokens(&fields)
    }

    /// OpenAI's `response_format`, and what vLLM, SGLang and llama.cpp call the same.
    init(openAI fields: inout RequestFields) throws(APIError) {
        if let format = fields.value("response_format") { try readResponseFormat(format) }
        if let outer = fields.value("structured_outputs") {
            var inner = try RequestFields(outer, path: "structured_outputs")
            for (field, kind, read) in Self.kinds { try set(field, kind, &inner, read) }
            try set("json_object", "true", &inner) { $0.bool == true ? .jsonObject : nil }
            try inner.refuse("structural_tag")
        }
        for (field, kind, read) in Self.kinds { try set("guided_" + field, kind, &fields, read) }
        for (field, kind, read) in Self.kinds where field == "regex" || field == "grammar" {
            try set(field, kind, &fields, read)
        }
        try set("ebnf", "a grammar", &fields) { $0.string.map { .grammar($0) } }
        try set("json_schema", "a JSON schema", &fields, Self.schema)
        // Which program makes the automaton is the server's affair.
        for field in ["guided_decoding_backend", "guided_whitespace_pattern"] {
            try fields.refuse(field) { field == "guided_decoding_backend" || $0.isNothing }
        }
        try readAllowedTokens(&fields)
    }

    /// Anthropic's and the Responses interface's way to ask for a schema.
    init(schema: JSONValue, field: String) { (constraint, self.field) = (.jsonSchema(schema), field) }

    init() {}

    /// Whether any text will do.
    var isFree: Bool { constraint == nil && allowedTokens == nil }

    /// `calls` and nothing else, where no other form was asked for.
    func replacedAlone(by calls: AnswerConstraint) throws(StructuredOutputError) -> AnswerForm {
        guard isFree else {
            throw StructuredOutputError(
                .invalid, at: "tool_choice", expected: "no form of an answer that is to be a call",
                found: field.isEmpty ? "allowed_token_ids" : field)
        }
        return replaced(by: calls)
    }

    /// `calls` instead of this form.
    func replaced(by calls: AnswerConstraint) -> AnswerForm {
        var form = AnswerForm()
        (form.constraint, form.field) = (calls, "tools")
        return form
    }

    /// Calls of tools, or an answer of this form.
    func widened(by calls: AnswerConstraint) throws(StructuredOutputError) -> AnswerForm {
        guard case .structure(let calls) = calls, let own = constraint?.structure else {
            throw StructuredOutputError(
                .unsupported, at: "tools", expected: "no such form of the answer beside tools", found: field)
        }
        var form = self
        form.constraint = .structure(.choice([calls, own]))
        return form
    }

    private static let kinds: [(field: String, kind: String, read: Reading)] = [
        ("json", "a JSON schema", { schema($0) }),
        ("regex", "a regular expression", { $0.string.map { .regex($0) } }),
        ("choice", "a list of texts", { $0.array?.allStrings.map { .choice($0) } }),
        ("grammar", "a grammar", { $0.string.map { .grammar($0) } }),
    ]

    /// What may be asked for.
    static var kindNames: [String] { kinds.map(\.field) + ["json_object"] }

    /// A schema as itself or as text.
    private static func schema(_ value: JSONValue) -> AnswerConstraint? {
        guard let text = value.string else { return value.object != nil ? .jsonSchema(value) : nil }
        return (try? JSONValue(parsing: text)).flatMap { $0.object != nil ? .jsonSchema($0) : nil }
    }

    private mutating func set(
        _ name: String, _ kind: String, _ fields: inout RequestFields,
        _ read: (JSONValue) -> AnswerConstraint?
    ) throws(APIError) {
        guard let value = fields.value(name), value != "", value.bool != false else { return }
        guard let constraint = read(value) else { throw fields.wrong(name, kind, value) }
        try set(constraint, from: fields.name(name))
    }

    private mutating func set(_ constraint: AnswerConstraint, from name: String) throws(APIError) {
        guard self.constraint == nil else {
            throw .invalid("\(field) and \(name) exclude each other", parameter: name)
        }
        (self.constraint, field) = (constraint, name)
    }

    private mutating func readResponseFormat(_ format: JSONValue) throws(APIError) {
        let name = "response_format"
        var fields = try RequestFields(format, path: name)
        switch try fields.string("type") ?? "text" {
        case "text": break
        case "json_object":
            // llama.cpp's form has the schema beside.
            try set(fields.value("schema").map { .jsonSchema($0) } ?? .jsonObject, from: name)
        case "json_schema":
            // OpenAI's form has it within; others beside the type.
            let inner = fields.value("json_schema")
            guard let schema = inner?["schema"] ?? inner ?? fields.value("schema"), schema.object != nil
            else {
                throw .invalid("\(name).json_schema.schema is missing", parameter: name)
            }
            try set(.jsonSchema(schema), from: name)
        case let other:
            throw .invalid(
                "\(name).type must be text, json_object or json_schema, found '\(other)'", parameter: name)
        }
    }

    private mutating func readAllowedTokens(_ fields: inout RequestFields) throws(APIError) {
        let name = "allowed_token_ids"
        guard let value = fields.value(name) else { return }
        guard let tokens = value.array?.allTokens else {
            throw .invalid(
                "allowed_token_ids need format List[int], but get \(value.kind)", parameter: name)
        }
        guard constraint == nil else {
            throw .invalid("\(name) and \(field) can not be used in same time", parameter: name)
        }
        allowedTokens = tokens
    }

    /// What makes answers have the form, and checks that they do.
    func compiled(_ generator: TextGenerator) throws -> CompiledForm {
        if let allowedTokens {
            let size = generator.engine.vocabularySize
            guard allowedTokens.contains(where: { (0..<Int32(clamping: size)).contains($0) }) else {
                throw APIError.invalid(
                    "allowed_token_ids holds no token of the vocabulary of \(size)",
                    parameter: "allowed_token_ids")
            }
            return .tokens(AllowedTokens(allowedTokens, vocabularySize: size))
        }
        guard let constraint else { return .free }
        do throws(StructuredOutputError) {
            return .grammar(try generator.constraints.compiled(constraint))
        } catch {
            throw APIError(form: error, parameter: field)
        }
    }
}

/// A form of answers, made ready.
enum CompiledForm: Sendable {
    case free
    case tokens(AllowedTokens)
    case grammar(CompiledConstraint)

    /// Lets `request` have no answers of another form. The form is that of what follows `marker`, if there is
    /// one.
    func apply(to request: inout TextRequest, after marker: String? = nil) {
        switch self {
        case .free: break
        case .tokens(let tokens): request.constraint = tokens
        case .grammar(let compiled):
            request.constraint = GrammarConstraint(compiled.grammar, after: marker)
            // The grammar's bytes are the text's, down to a leading space.
            request.detokenization.continuesText = true
        }
    }

    /// Throws when an answer has ended by itself and has another form.
    func validate(_ answer: String, _ finish: FinishReason?, of request: TextRequest) throws {
        // A stop that the request asks for may end it anywhere.
        guard case .grammar(let compiled) = self, finish == .stop, request.stopTexts.isEmpty,
            request.stopTokens.isEmpty
        else { return }
        try compiled.validate(answer)
    }
}

extension AnswerConstraint {
    /// The same as a part of an answer; nil for what can only be a whole one.
    fileprivate var structure: AnswerStructure? {
        switch self {
        case .jsonSchema(let schema): .jsonSchema(schema)
        case .jsonObject: .jsonSchema(["type": "object"])
        case .regex(let pattern): .regex(pattern)
        case .choice(let texts): .choice(texts.map { .literal($0) })
        case .structure(let structure): structure
        case .grammar: nil
        }
    }
}
