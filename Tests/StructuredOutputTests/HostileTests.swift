import JSON
import OrderedCollections
import Testing

@testable import StructuredOutput

/// Schemas made to break servers: each gets its named error, or its grammar, within a second.
@Suite struct HostileTests {
    static func nested(_ depth: Int, _ open: String, _ close: String) -> String {
        String(repeating: open, count: depth) + "true" + String(repeating: close, count: depth)
    }

    static let schemas: [(String, StructuredOutputError.Code)] = [
        ("{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"foo\"}}}", .invalid),
        ("{\"type\":5}", .invalid), ("[]", .invalid), ("\"object\"", .invalid), ("null", .invalid),
        ("{\"pattern\":\"[\"}", .invalid), ("{\"pattern\":\"(?:\",\"type\":\"string\"}", .invalid),
        ("{\"pattern\":5}", .invalid), ("{\"$ref\":\"#\"}", .invalid), ("{\"$ref\":\"#/$defs/x\"}", .invalid),
        (
            "{\"$ref\":\"#/$defs/a\",\"$defs\":{\"a\":{\"anyOf\":[{\"$ref\":\"#/$defs/b\"}]},\"b\":{\"$ref\":\"#/$defs/a\"}}}",
            .invalid
        ),
        ("{\"$ref\":\"http://169.254.169.254/x\"}", .unsupported),
        ("{\"$ref\":\"file:///etc/passwd\"}", .unsupported),
        ("{\"type\":\"array\",\"minItems\":1000000000}", .tooComplex),
        ("{\"type\":\"array\",\"minItems\":-1}", .invalid),
        ("{\"type\":\"array\",\"minItems\":1.5}", .invalid),
        ("{\"type\":\"string\",\"minLength\":1000000000}", .tooComplex),
        ("{\"type\":\"string\",\"minLength\":9223372036854775807}", .tooComplex),
        ("{\"type\":\"string\",\"minLength\":3,\"maxLength\":2}", .unsatisfiable),
        ("{\"type\":\"string\",\"maxLength\":1e300}", .invalid),
        ("{\"type\":\"object\",\"minProperties\":5}", .unsupported),
        ("{\"type\":\"integer\",\"multipleOf\":0}", .invalid),
        ("{\"type\":\"integer\",\"multipleOf\":-2}", .invalid),
        ("{\"type\":\"integer\",\"multipleOf\":1e-300}", .unsupported),
        ("{\"type\":\"integer\",\"minimum\":1e300}", .unsupported),
        ("{\"type\":\"integer\",\"minimum\":5,\"maximum\":4}", .unsatisfiable),
        ("{\"type\":\"array\",\"uniqueItems\":true}", .unsupported),
        ("{\"contains\":{\"multipleOf\":2},\"maxContains\":1}", .unsupported),
        ("{\"type\":\"string\",\"format\":\"color\"}", .unsupported),
        ("{\"if\":{\"pattern\":\"a\"},\"then\":{\"minLength\":2}}", .unsupported),
        ("{\"not\":{\"items\":{\"type\":\"null\"}}}", .unsupported),
        ("{\"oneOf\":[{\"pattern\":\"a\"},{\"pattern\":\"b\"}]}", .unsupported),
        ("{\"contains\":{},\"minContains\":1000000000}", .tooComplex),
        ("{\"contains\":{},\"minContains\":9223372036854775807}", .tooComplex),
        ("{\"$dynamicRef\":\"#x\"}", .unsupported), ("{\"enum\":[]}", .unsatisfiable),
        ("false", .unsatisfiable),
        (
            "{\"type\":\"object\",\"properties\":{\"a\":{\"$ref\":\"#\"}},\"required\":[\"a\"]}",
            .unsatisfiable
        ),
        ("{\"pattern\":\"(a{1,1000}){1,1000}\"}", .tooComplex),
        ("{\"pattern\":\"\\\\p{L}{10000}\"}", .tooComplex),
        ("{\"pattern\":\"((((((a?){50}){50}){50}){50}){50}){50}\"}", .tooComplex),
        ("{\"pattern\":\"(a|b)*a(a|b){30}\"}", .tooComplex), ("{\"pattern\":\"(?<!a)b\"}", .unsupported),
        ("{\"anyOf\":[" + nested(30, "{\"anyOf\":[", "]}") + "]}", .tooComplex),
        ("{\"enum\":[" + (0..<30_000).map(String.init).joined(separator: ",") + "]}", .tooComplex),
        (
            "{\"allOf\":["
                + (0..<12).map { "{\"anyOf\":[{\"minimum\":\($0)},{\"maximum\":\($0)},{\"const\":\($0)}]}" }
                .joined(separator: ",") + "]}",
            .tooComplex
        ),
    ]

    @Test(arguments: schemas.indices)
    func isRefusedByName(_ index: Int) {
        let (text, expected) = Self.schemas[index]
        let time = ContinuousClock().measure {
            let found = code {
                // 31 levels of schemas are 62 of JSON, more than a reader of requests takes.
                let schema = try JSONValue(parsing: text, maximumDepth: 1000)
                var limits = GrammarLimits()
                limits.sourceDepth = 30
                _ = try CompiledConstraint(.jsonSchema(schema), tokens: Vocabularies.small, limits: limits)
            }
            #expect(found == expected, "\(text.prefix(100))")
        }
        #expect(time < patience, "\(text.prefix(100)) took \(time)")
    }

    /// Doubling at each level, if nothing were shared.
    @Test func sharedSchemasAreReadOnce() throws {
        var definitions: JSONValue.Members = ["d0": ["type": "integer"]]
        for level in 1...25 {
            let below: JSONValue = ["$ref": .string("#/$defs/d\(level - 1)")]
            definitions[JSONKey("d\(level)")] = ["allOf": [below, below]]
        }
        let schema: JSONValue = ["$ref": "#/$defs/d25", "$defs": .object(definitions)]
        #expect(
            isAccepted("5", by: try CompiledGrammar(Grammar(jsonSchema: schema), tokens: Vocabularies.small)))
        #expect(code { try JSONSchemaValidator(schema).validate(5) } == .tooComplex)
    }

    /// What recursion would not survive.
    @Test func longChainsAreRefused() throws {
        var definitions: JSONValue.Members = ["d0": ["type": "integer"]]
        for level in 1...20_000 {
            definitions[JSONKey("d\(level)")] = ["$ref": .string("#/$defs/d\(level - 1)")]
        }
        let schema: JSONValue = ["$ref": "#/$defs/d20000", "$defs": .object(definitions)]
        #expect(code { _ = try Grammar(jsonSchema: schema) } == .tooComplex)
        #expect(code { try JSONSchemaValidator(schema).validate(5) } == .tooComplex)
        let long = String(repeating: "a", count: 40_000)
        let grammar = try CompiledGrammar(
            Grammar(choices: [long + "b", long + "c"]), tokens: Vocabularies.small)
        #expect(isAccepted(long + "c", by: grammar))
        let prefixes = (1...400).map { String(repeating: "a", count: $0) }
        #expect(
            isAccepted(
                "aaaa", by: try CompiledGrammar(Grammar(choices: prefixes), tokens: Vocabularies.small)))
    }

    @Test(arguments: ["(a?){40000}", "((a|b)?){15000}", "(a?b?c?){10000}"])
    func manyPlacesAtOnceAreRefused(_ pattern: String) {
        let time = ContinuousClock().measure {
            #expect(
                code { _ = try CompiledGrammar(Grammar(regex: pattern), tokens: Vocabularies.small) }
                    == .tooComplex)
        }
        #expect(time < patience, "\(pattern) took \(time)")
    }

    @Test func manyMembersAndLongNamesAreFine() throws {
        let names =
            (0..<1000).map { JSONKey("member\($0)") } + [JSONKey(String(repeating: "n", count: 50_000))]
        let members = JSONValue.Members(uniqueKeysWithValues: names.map { ($0, ["type": "integer"]) })
        let schema: JSONValue = ["type": "object", "properties": .object(members)]
        let time = try ContinuousClock().measure {
            let grammar = try CompiledGrammar(Grammar(jsonSchema: schema), tokens: Vocabularies.small)
            #expect(isAccepted("{\"member3\":1,\"member999\":2}", by: grammar))
        }
        #expect(time < patience, "took \(time)")
    }

    @Test func theCacheOfConstraintsIsBounded() throws {
        let cache = ConstraintCache(tokens: Vocabularies.small, capacity: 1 << 20)
        for index in 0..<300 {
            _ = try cache.compiled(.jsonSchema(["const": .integer(index)]))
            #expect(cache.usage.bytes <= 1 << 20)
        }
        #expect(cache.usage.constraints > 1 && cache.usage.constraints < 300)
        let first = try cache.compiled(.regex("a")), again = try cache.compiled(.regex("a"))
        #expect(first.grammar === again.grammar)
        #expect(code { _ = try cache.compiled(.regex("(")) } == .invalid)
    }

    @Test func errorsSayWhatWasExpectedAndFound() {
        let error = StructuredOutputError(
            .invalid, at: "regex, offset 3", expected: "\")\"", found: String(repeating: "x", count: 1000))
        #expect(error.description.hasPrefix("regex, offset 3: expected \")\", found xxx"))
        #expect(error.description.count < 200)
    }

    /// Patterns whose automata would be huge, or would be if they were built with back-tracking.
    @Test(
        arguments: [
            ("(a{1,1000}){1,1000}", .tooComplex), ("((((((a?){50}){50}){50}){50}){50}){50}", .tooComplex),
            ("(.*)*$", nil), ("\\p{L}{10000}", .tooComplex), ("(?<!a)b", .unsupported),
            ("(?<=a)b", .unsupported),
            ("(a+)+b", nil), ("(a|a)*b", nil), ("(x+x+)+y", nil), ("(.*,){12}P", nil),
            ("((((a{0,100}){0,100}){0,100}){0,100})", .tooComplex), ("[", .invalid), ("(?:(?:", .invalid),
            ("\\1(a)", .unsupported), ("(?:(?:\\d\\d[2468][048])-02-29)", nil),
        ] as [(String, StructuredOutputError.Code?)])
    func patternsTakeATenthOfASecond(_ pattern: String, _ expected: StructuredOutputError.Code?) {
        for constraint in [AnswerConstraint.regex(pattern), .jsonSchema(["pattern": .string(pattern)])] {
            let time = processorTime {
                let found = code {
                    let compiled = try CompiledConstraint(constraint, tokens: Vocabularies.small)
                    _ = try? compiled.validate(String(repeating: "a", count: 2000))
                }
                #expect(found == expected, "\(constraint)")
            }
            #expect(time < .milliseconds(isDebug ? 3000 : 100), "\(constraint) took \(time)")
        }
    }

    /// Documents too large or too deep, read from text as a server would.
    @Test func hugeSchemasAreRefused() throws {
        let deep =
            String(repeating: "{\"anyOf\":[", count: 500) + "true" + String(repeating: "]}", count: 500)
        #expect(throws: JSONError.self) { try JSONValue(parsing: deep) }
        let million: JSONValue = ["enum": .array((0..<1_000_000).map { .integer($0) })]
        let long: JSONValue = ["const": .string(String(repeating: "x", count: 10 << 20))]
        var nested: JSONValue = true
        for _ in 0..<500 { nested = ["anyOf": [nested]] }
        for schema in [try JSONValue(parsing: deep, maximumDepth: 2000), million, long, nested] {
            let time = processorTime {
                #expect(
                    code { _ = try CompiledConstraint(.jsonSchema(schema), tokens: Vocabularies.small) }
                        == .tooComplex)
            }
            #expect(time < patience, "took \(time)")
        }
    }

    /// Ten thousand schemas in a row, none like another.
    @Test func theCacheStaysSmallHoweverManySchemasCome() throws {
        let cache = ConstraintCache(tokens: Vocabularies.small, capacity: 2 << 20)
        for index in 0..<(isDebug ? 500 : 10_000) {
            _ = try cache.compiled(
                .jsonSchema(["properties": .object([JSONKey("a\(index)"): ["const": .integer(index)]])]))
        }
        #expect(cache.usage.bytes <= 2 << 20, "\(cache.usage)")
        #expect(cache.usage.constraints > 1)
    }

    @Test(
        arguments: [
            ("root ::= root \"a\"", .invalid), ("root ::= a\na ::= root \"x\" | \"y\"", .invalid),
            ("root ::= a? root \"b\"\na ::= \"a\"", .invalid), ("root ::= missing", .invalid),
            ("other ::= \"a\"", .invalid), ("root ::= a\na ::= a", .invalid), ("", .invalid),
            ("root ::= \"a\" root", .unsatisfiable), ("root ::=", .invalid),
            ("root ::= a\na ::=\nb ::= \"x\"", .invalid), ("root ::= \"\"", nil),
            ("root ::= \"a\"\nunused ::= \"b\"", nil), ("root ::= (\"a\"*)*", nil),
            ("root ::= \"a\"{1000000000}", .tooComplex),
            ("root ::= " + String(repeating: "(", count: 5000), .tooComplex),
        ] as [(String, StructuredOutputError.Code?)])
    func grammarsAreRefusedByName(_ text: String, _ expected: StructuredOutputError.Code?) {
        let time = processorTime {
            let found = code { _ = try CompiledConstraint(.grammar(text), tokens: Vocabularies.small) }
            #expect(found == expected, "\(text.prefix(60))")
        }
        #expect(time < .milliseconds(isDebug ? 3000 : 100), "\(text.prefix(60)) took \(time)")
    }

    /// Names of members are written so that they are read as what they were.
    @Test(arguments: ["\"\n", "\u{0}", "\\", "\u{FFFF}", "😀", "\u{7f}\u{80}", "</tool_call>", ""])
    func strangeNamesAreWrittenAsTheyAre(_ name: String) throws {
        let schema: JSONValue = [
            "properties": .object([JSONKey(name): ["type": "boolean"]]), "required": [.string(name)],
            "type": "object",
        ]
        let constraint = try CompiledConstraint(.jsonSchema(schema), tokens: Vocabularies.small)
        var random = Random(seed: 5)
        let bytes = try #require(try randomAnswer(constraint.grammar, &random))
        let text = String(decoding: bytes, as: UTF8.self)
        try constraint.validate(text)
        #expect(try JSONValue(parsing: text).object?[JSONKey(name)]?.bool != nil)
    }
}
