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
        ("{\"type\":\"array\",\"uniqueItems\":true}", .unsupported), ("{\"contains\":{}}", .unsupported),
        ("{\"type\":\"string\",\"format\":\"color\"}", .unsupported),
        ("{\"if\":{},\"then\":{}}", .unsupported),
        ("{\"not\":{\"required\":[\"a\"]}}", .unsupported),
        ("{\"oneOf\":[{\"minimum\":1},{\"maximum\":5}]}", .unsupported),
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
}
