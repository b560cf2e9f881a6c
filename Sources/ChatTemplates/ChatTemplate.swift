public import JSON
public import OrderedCollections

/// A chat template: Jinja, as far as templates of models use it, rendered as transformers renders it.
///
/// Rendering reaches nothing but the values it is given, and ends: steps, depth and output are limited.
public struct ChatTemplate: Sendable {
    /// The template's text.
    public let source: String
    private let statements: [Statement]

    /// Throws `ChatTemplateError.syntax` for what is not understood.
    public init(_ source: String) throws(ChatTemplateError) {
        guard source.utf8.count <= 4 << 20 else { throw .limitReached("the template is too long") }
        self.source = source
        statements = try Parser.statements(source)
    }

    /// What a conversation hands to its template.
    public struct Input: Sendable {
        /// Objects with `role` and `content`, and whatever else the template knows.
        public var messages: JSONValue
        /// Descriptions of functions; null for none.
        public var tools: JSONValue = .null
        /// Whether the text ends where the assistant's answer begins.
        public var addsGenerationPrompt = false
        public var bosToken: String?
        public var eosToken: String?
        /// Further variables of the template.
        public var variables: JSONValue.Members = [:]

        public init(messages: JSONValue) { self.messages = messages }
    }

    public func render(_ input: Input) throws(ChatTemplateError) -> String {
        var variables: JSONValue.Members = [
            "messages": input.messages, "tools": input.tools, "documents": .null,
            "add_generation_prompt": .bool(input.addsGenerationPrompt),
        ]
        if let token = input.bosToken { variables["bos_token"] = .string(token) }
        if let token = input.eosToken { variables["eos_token"] = .string(token) }
        variables.merge(input.variables) { $1 }
        return try render(variables)
    }

    /// The text for these variables.
    public func render(_ variables: JSONValue.Members) throws(ChatTemplateError) -> String {
        var interpreter = Interpreter(limits: Interpreter.Limits())
        return try interpreter.render(statements, variables)
    }
}
