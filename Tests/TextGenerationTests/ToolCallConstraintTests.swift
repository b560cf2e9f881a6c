import JSON
import OrderedCollections
import StructuredOutput
import Testing
import TextGeneration
import ToolCalls

/// A model that draws tokens at random, and can do no other than call tools.
@Suite struct ToolCallConstraintTests {
    /// Every byte, and some longer pieces; 0 ends an answer.
    static func tokens(_ format: ToolCallFormat) -> TokenTrie {
        let pieces =
            format.markers + [
                "{\"name", "\": \"", "\", \"", "\"}", "}}", "true", "None", "False", "[{", "}]", ", ", "=\"",
                "abc", "12", "é", "日本", "</parameter", "</arg_value", "\n</", "<fun", ">\n", "\\n", "\\u00",
                "<",
                "](", "\\\"",
            ]
        return TokenTrie(
            vocabulary: [[]] + (UInt8.min...UInt8.max).map { [$0] } + pieces.map { Array($0.utf8) },
            endTokens: [0])
    }

    /// What a model says that draws tokens at random; nil when it does not end.
    static func answer(
        _ grammar: CompiledGrammar, _ random: inout Draws, patience: Int = 12
    ) throws -> String? {
        var matcher = grammar.matcher()
        var mask = TokenMask(vocabularySize: grammar.tokens.vocabularySize)
        var bytes: [UInt8] = []
        for step in 0..<4000 {
            try matcher.allowedTokens(into: &mask)
            if matcher.isComplete, matcher.mustEnd || Int.random(in: 0..<3, using: &random) == 0 {
                let text: String = try #require(String(validating: bytes, as: UTF8.self))
                return text
            }
            var choices = mask.tokens.filter { $0 != 0 }
            // A tired model closes what it opened.
            let closing = choices.filter { token in
                "\"]})\n<".utf8.contains { grammar.tokens.bytes(of: token) == [$0] }
            }
            if step % patience > patience / 2, !closing.isEmpty { choices = closing }
            let token = try #require(choices.randomElement(using: &random))
            let isTaken = matcher.advance(token)
            #expect(isTaken)
            bytes += grammar.tokens.bytes(of: token)
        }
        return nil
    }

    static func split(_ text: String, _ format: ToolCallFormat, _ tools: [ToolDefinition]) -> SplitAnswer {
        var parameters: [String: ToolParameters] = [:]
        for tool in tools { parameters[tool.name] = ToolParameters(tool.parameters) }
        var splitter = AnswerSplitter(
            tools: format, toolNames: Set(tools.map(\.name)), parameters: parameters)
        return SplitAnswer(splitter.feed(text) + splitter.finish())
    }

    static func check(_ call: ToolCall, _ tools: [ToolDefinition], _ text: String) throws {
        let tool = try #require(tools.first { $0.name == call.name }, "\(text)")
        let arguments = try JSONValue(parsing: call.arguments)
        #expect(arguments.object != nil, "\(text)")
        guard let schema = tool.parameters, tool.isStrict else { return }
        #expect(throws: Never.self, "\(schema.serialized): \(text) gave \(call.arguments)") {
            try JSONSchemaValidator(schema).validate(arguments)
        }
    }

    @Test(arguments: ToolCallFormat.Family.allCases)
    func forcedCallsAreValid(_ family: ToolCallFormat.Family) throws {
        let format = ToolCallFormat(family)
        let trie = Self.tokens(format)
        var (answers, calls) = (0, 0)
        for seed in 0..<300 {
            var maker = ToolMaker(random: Draws(seed: seed + 1))
            let tools = maker.tools()
            let several = maker.chance(70)
            let constraint = try CompiledConstraint(
                .forcedCalls(of: tools, format, allowsSeveral: several), tokens: trie)
            guard let text = try Self.answer(constraint.grammar, &maker.random) else { continue }
            try constraint.validate(text)
            let answer = Self.split(text, format, tools)
            #expect(answer.content.isEmpty && !answer.calls.isEmpty, "\(text)")
            #expect(several || answer.calls.count == 1, "\(text)")
            for call in answer.calls { try Self.check(call, tools, text) }
            (answers, calls) = (answers + 1, calls + answer.calls.count)
        }
        #expect(answers > 200, "\(answers) answers")
        #expect(calls > answers, "\(calls) calls")
    }

    /// Free text may hold calls, all of them of tools that are there.
    @Test(arguments: ToolCallFormat.Family.allCases)
    func freeCallsAreValid(_ family: ToolCallFormat.Family) throws {
        let format = ToolCallFormat(family)
        let trie = Self.tokens(format)
        var (calls, texts) = (0, 0)
        for seed in 0..<60 {
            var maker = ToolMaker(random: Draws(seed: seed + 1000))
            let tools = maker.tools()
            let several = maker.chance(50)
            let constraint = try CompiledConstraint(
                .freeCalls(of: tools, format, allowsSeveral: several), tokens: trie)
            guard let text = try Self.answer(constraint.grammar, &maker.random) else { continue }
            let answer = Self.split(text, format, tools)
            for call in answer.calls { try Self.check(call, tools, text) }
            #expect(several || answer.calls.count <= 1, "\(text)")
            (calls, texts) = (calls + answer.calls.count, texts + (answer.content.isEmpty ? 0 : 1))
            // Plain text and forced calls are both such answers.
            #expect(throws: Never.self) { try constraint.validate("No tool is needed (1 < 2).") }
            let forced = try CompiledConstraint(
                .forcedCalls(
                    of: tools.map {
                        ToolDefinition(name: $0.name, parameters: $0.parameters, isStrict: true)
                    }, format, allowsSeveral: false), tokens: trie)
            guard let call = try Self.answer(forced.grammar, &maker.random) else { continue }
            #expect(throws: Never.self, "\(call)") { try constraint.validate(call) }
        }
        #expect(texts > 5, "\(texts) texts, \(calls) calls")
    }

    @Test func reasoningMayComeFirst() throws {
        let format = ToolCallFormat(.hermes), tools = [ToolDefinition(name: "clock", parameters: nil)]
        let call = "<tool_call>\n{\"name\": \"clock\", \"arguments\": {}}\n</tool_call>"
        let text = "<think>\nWhat <tool_call> would help?\n</think>\n\n" + call
        for constraint in [
            try AnswerConstraint.forcedCalls(of: tools, format, reasoning: .think),
            try .freeCalls(of: tools, format, reasoning: .think),
        ] {
            let compiled = try CompiledConstraint(constraint, tokens: Self.tokens(format))
            try compiled.validate(call)
            try compiled.validate(text)
        }
        let compiled = try CompiledConstraint(
            .forcedCalls(of: tools, format), tokens: Self.tokens(format))
        #expect(throws: StructuredOutputError.self) { try compiled.validate(text) }
    }

    @Test func whatCannotBeWrittenIsRefused() {
        func code(_ tools: [ToolDefinition], _ family: ToolCallFormat.Family) -> StructuredOutputError.Code? {
            do throws(StructuredOutputError) {
                _ = try CompiledConstraint(
                    .forcedCalls(of: tools, ToolCallFormat(family)),
                    tokens: Self.tokens(ToolCallFormat(family)))
                return nil
            } catch {
                return error.code
            }
        }
        let unique: JSONValue = ["properties": ["a": ["type": "array", "uniqueItems": true]]]
        #expect(code([], .hermes) == .invalid)
        #expect(code([ToolDefinition(name: "a\"b", parameters: nil)], .hermes) == .unsupported)
        #expect(
            code([ToolDefinition(name: String(repeating: "n", count: 1 << 20), parameters: nil)], .hermes)
                == .unsupported)
        #expect(code([ToolDefinition(name: "a-b", parameters: nil)], .hermes) == nil)
        #expect(code([ToolDefinition(name: "a/b", parameters: nil)], .pythonic) == .unsupported)
        #expect(
            code([ToolDefinition(name: "f", parameters: unique, isStrict: true)], .hermes) == .unsupported)
        #expect(code([ToolDefinition(name: "f", parameters: unique)], .hermes) == nil)
        #expect(
            code([ToolDefinition(name: "f", parameters: ["type": "string"], isStrict: true)], .glm)
                == .unsatisfiable)
        #expect(
            code(Array(repeating: ToolDefinition(name: "f", parameters: nil), count: 2), .hermes) == .invalid)
        let many = (0..<10_000).map { ToolDefinition(name: "f\($0)", parameters: nil) }
        #expect(code(many, .hermes) == .tooComplex)
        let some = (0..<200).map {
            ToolDefinition(name: "f\($0)", parameters: ["properties": ["x": ["type": "integer"]]])
        }
        #expect(code(some, .hermes) == nil)
    }
}

/// A generator whose draws depend on its seed alone.
struct Draws: RandomNumberGenerator {
    var state: UInt64

    init(seed: Int) { state = UInt64(truncatingIfNeeded: seed) &* 0x9E37_79B9_7F4A_7C15 | 1 }

    mutating func next() -> UInt64 {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return state &* 0x2545_F491_4F6C_DD1D
    }
}

/// Makes tools with schemas of all kinds.
struct ToolMaker {
    var random: Draws

    mutating func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &random) < percent }

    mutating func tools() -> [ToolDefinition] {
        ["get_weather", "clock", "search.web", "f"].prefix(Int.random(in: 1...4, using: &random)).map {
            ToolDefinition(
                name: $0, parameters: chance(85) ? parameters() : Optional.none, isStrict: chance(80))
        }
    }

    mutating func parameters() -> JSONValue {
        var properties: JSONValue.Members = [:]
        for name in ["city", "days", "unit_", "x1", "options"].shuffled(using: &random)
            .prefix(Int.random(in: 0...4, using: &random))
        {
            properties[JSONKey(name)] = value(depth: 2)
        }
        let required = properties.keys.filter { _ in chance(50) }
        var members: JSONValue.Members = [
            "type": "object", "properties": .object(properties),
            "required": .array(required.map { .string($0.string) }),
            "$defs": ["tree": ["properties": ["v": ["type": "integer"], "next": ["$ref": "#/$defs/tree"]]]],
        ]
        if chance(50) { members["additionalProperties"] = false }
        return .object(members)
    }

    mutating func value(depth: Int) -> JSONValue {
        switch Int.random(in: 0...(depth > 0 ? 12 : 9), using: &random) {
        case 0: ["type": "string"]
        case 1: ["type": "string", "enum": ["celsius", "a\"b", "x < y", "</parameter>", "line\nline"]]
        case 2: ["type": "string", "pattern": "^[a-z<]{2,5}$"]
        case 3: ["type": "string", "minLength": 1, "maxLength": 8]
        case 4: ["type": "integer", "minimum": 0, "maximum": 300]
        case 5: ["type": "boolean"]
        case 6: ["type": ["string", "null"]]
        case 7: ["enum": ["on", true, nil, 3, ["<", false]]]
        case 8: ["$ref": "#/$defs/tree"]
        case 9: [:]
        case 10: ["type": "array", "items": value(depth: depth - 1), "maxItems": 3]
        case 11: ["anyOf": [value(depth: depth - 1), ["type": "number"]]]
        default:
            ["type": "object", "properties": ["<k>": value(depth: depth - 1)], "required": ["<k>"]]
        }
    }
}
