public import JSON
import OrderedCollections
public import StructuredOutput
public import ToolCalls

/// A tool that a model may call.
public struct ToolDefinition: Sendable {
    public let name: String
    /// A JSON schema of the object of arguments; nil for a tool without any.
    public let parameters: JSONValue?
    /// Whether arguments must satisfy the schema, so that a schema that cannot be kept is an error.
    public let isStrict: Bool

    public init(name: String, parameters: JSONValue?, isStrict: Bool = false) {
        (self.name, self.parameters, self.isStrict) = (name, parameters, isStrict)
    }

    /// The schema, of an object in any case.
    var schema: JSONValue {
        guard var members = parameters?.object else {
            return ["type": "object", "properties": [:], "additionalProperties": false]
        }
        if members["type"] == nil { members["type"] = "object" }
        return .object(members)
    }
}

extension AnswerConstraint {
    /// An answer that is nothing but calls of tools, in the model's own format.
    ///
    /// A tool that is not strict, and whose schema cannot be kept, is called with any arguments.
    ///
    /// - Parameters:
    ///   - allowsSeveral: Whether there may be more than one call.
    ///   - reasoning: What the model may say to itself first, between these markers; nil when it may not, or
    ///     when the prompt has begun it.
    /// Errors: `invalid` without tools, `unsupported` for names that the format cannot write; those of a strict
    /// tool's schema.
    public static func forcedCalls(
        of tools: [ToolDefinition], _ format: ToolCallFormat, allowsSeveral: Bool = true,
        reasoning: ReasoningFormat? = nil
    ) throws(StructuredOutputError) -> AnswerConstraint {
        let writer = CallWriter(format: format, tools: tools, checksAll: true)
        return .structure(writer.reasoned(try writer.calls(allowsSeveral: allowsSeveral), reasoning))
    }

    /// Free text with calls of tools, whose names are those offered and whose arguments, of strict tools, satisfy
    /// the schema. In formats without markers calls are the whole answer.
    ///
    /// Errors: as of `forcedCalls`.
    public static func freeCalls(
        of tools: [ToolDefinition], _ format: ToolCallFormat, allowsSeveral: Bool = true,
        reasoning: ReasoningFormat? = nil
    ) throws(StructuredOutputError) -> AnswerConstraint {
        let writer = CallWriter(format: format, tools: tools, checksAll: false)
        return .structure(
            writer.reasoned(try writer.textWithCalls(allowsSeveral: allowsSeveral), reasoning))
    }
}

/// Describes what a format's calls look like.
private struct CallWriter {
    let format: ToolCallFormat
    let tools: [ToolDefinition]
    /// Whether tools that are not strict keep to their schema as well, where it can be kept.
    let checksAll: Bool
    let layout: CallLayout

    init(format: ToolCallFormat, tools: [ToolDefinition], checksAll: Bool) {
        (self.format, self.tools, self.checksAll) = (format, tools, checksAll)
        layout = CallLayout(format)
    }

    func calls(allowsSeveral: Bool) throws(StructuredOutputError) -> AnswerStructure {
        try block(of: try anyCall(), after: layout.triggers.first ?? "", allowsSeveral: allowsSeveral)
    }

    func textWithCalls(allowsSeveral: Bool) throws(StructuredOutputError) -> AnswerStructure {
        let call = try anyCall()
        let beginnings = format.beginnings
        guard !layout.triggers.isEmpty else {
            let marked = beginnings.map { "[\\s\\S]*" + Self.escaped($0) + "[\\s\\S]*" }
            let calls = (format.bareCalls.map { [$0] } ?? []) + marked
            return .choice([
                try block(of: call, after: "", allowsSeveral: allowsSeveral),
                .otherThan(regex: calls.joined(separator: "|")),
            ])
        }
        let rest = try block(of: call, after: "", allowsSeveral: allowsSeveral && !layout.isBlock)
        return .triggered(
            by: layout.triggers, then: rest, never: beginnings.filter { !layout.triggers.contains($0) },
            isRepeated: allowsSeveral)
    }

    /// The answer, or reasoning and then the answer.
    func reasoned(_ answer: AnswerStructure, _ reasoning: ReasoningFormat?) -> AnswerStructure {
        guard let reasoning else { return answer }
        let thought = AnswerStructure.sequence([
            .literal(reasoning.opening), .lacking([reasoning.closing]), .literal(reasoning.closing),
            .regex("\\n{0,2}"),
        ])
        return .sequence([.repetition(thought, separator: "", atLeast: 0, atMost: 1), answer])
    }

    /// A regular expression that matches the text alone.
    private static func escaped(_ text: String) -> String {
        text.reduce(into: "") { result, character in
            if "\\^$.|?*+()[]{}".contains(character) { result += "\\" }
            result.append(character)
        }
    }

    private func block(
        of call: AnswerStructure, after trigger: String, allowsSeveral: Bool
    ) throws(StructuredOutputError) -> AnswerStructure {
        let (opening, closing) = (
            AnswerStructure.literal(trigger + layout.opening), AnswerStructure.literal(layout.closing)
        )
        let most = allowsSeveral ? nil : 1
        func repeated(_ part: AnswerStructure) -> AnswerStructure {
            .repetition(part, separator: layout.separator, atLeast: 1, atMost: most)
        }
        return layout.isBlock
            ? repeated(.sequence([opening, call, closing])) : .sequence([opening, repeated(call), closing])
    }

    private func anyCall() throws(StructuredOutputError) -> AnswerStructure {
        guard !tools.isEmpty else {
            throw StructuredOutputError(
                .invalid, at: "tools", expected: "at least one tool to call", found: "none")
        }
        var names: Set<String> = []
        var options: [AnswerStructure] = []
        for tool in tools {
            guard names.insert(tool.name).inserted else {
                throw StructuredOutputError(
                    .invalid, at: "tools", expected: "tools of different names",
                    found: "\"\(tool.name)\" twice")
            }
            options.append(try call(of: tool))
        }
        return .choice(options)
    }

    private func call(of tool: ToolDefinition) throws(StructuredOutputError) -> AnswerStructure {
        let isPython = layout.arguments == .python
        let isPlain = tool.name.utf8.allSatisfy { byte in
            switch byte {
            case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, UInt8(ascii: "_"), UInt8(ascii: "."),
                UInt8(ascii: "-"):
                true
            default: !isPython && (byte == UInt8(ascii: "/") || byte == UInt8(ascii: ":"))
            }
        }
        guard isPlain, (1...256).contains(tool.name.utf8.count) else {
            throw StructuredOutputError(
                .unsupported, at: "tools",
                expected: "names of 1 to 256 letters, digits, _, . and -" + (isPython ? "" : ", / and :"),
                found: "\"\(tool.name)\"")
        }
        let arguments = try arguments(of: tool)
        return .sequence(
            layout.call.map { part in
                switch part {
                case .text(let text): .literal(text)
                case .name: .literal(tool.name)
                case .number: .regex("[0-9]|[1-9][0-9]")
                case .arguments: arguments
                }
            })
    }

    private func arguments(of tool: ToolDefinition) throws(StructuredOutputError) -> AnswerStructure {
        let kept = arguments(tool.schema)
        if tool.isStrict { return kept }
        guard checksAll, (try? Grammar(structure: kept)) != nil else { return anyArguments }
        return kept
    }

    private func arguments(_ schema: JSONValue) -> AnswerStructure {
        switch layout.arguments {
        case .json: .jsonSchema(schema)
        case .tagged(let beforeKey, let afterKey, let afterValue, let valueEnd, let end):
            .sequence([
                .members(
                    schema,
                    MemberStyle(
                        names: .betweenTags, beforeName: beforeKey, afterName: afterKey,
                        afterValue: afterValue, separator: "", spelling: .betweenTags,
                        bareMembers: ToolParameters(schema).texts, bareEnd: valueEnd)),
                .literal(end),
            ])
        case .python:
            .members(
                schema,
                MemberStyle(
                    names: .identifiers, beforeName: "", afterName: "=", afterValue: "", separator: ", ",
                    spelling: .python))
        }
    }

    private var anyArguments: AnswerStructure {
        switch layout.arguments {
        case .json: return .jsonSchema(["type": "object"])
        case .tagged(let beforeKey, let afterKey, let afterValue, let valueEnd, let end):
            let key = AnswerStructure.regex("[^<>\\u0000-\\u001f]{1,64}")
            let member = AnswerStructure.sequence([
                .literal(beforeKey), key, .literal(afterKey), .lacking([valueEnd]), .literal(afterValue),
            ])
            return .sequence([
                .repetition(member, separator: "", atLeast: 0, atMost: nil), .literal(end),
            ])
        case .python:
            let member = AnswerStructure.sequence([.regex("[A-Za-z_]\\w{0,63}="), .jsonSchema([:], .python)])
            return .repetition(member, separator: ", ", atLeast: 0, atMost: nil)
        }
    }
}
