import JSON
import OrderedCollections
import Testing

@testable import StructuredOutput

/// Each keyword: documents that the grammar allows, and others that it does not.
@Suite struct SchemaTests {
    static let cases: [(schema: String, allowed: [String], refused: [String])] = [
        (
            "true", ["1", "{\"a\": [null, true]}", "\"x\"", " -2.5e3"],
            ["", "01", "{a:1}", "[1,]", "\"\\ud800\"", "nul"]
        ),
        ("{\"type\":\"null\"}", ["null"], ["1", "nulll"]),
        ("{\"type\":[\"boolean\",\"integer\"]}", ["true", "-5", "0"], ["1.5", "\"a\""]),
        ("{\"type\":\"string\",\"nullable\":true}", ["\"\"", "null"], ["1"]),
        ("{\"type\":\"number\"}", ["1", "-0.25", "1e10", "2E-3"], [".5", "1.", "1e999", "+1", "--1"]),
        ("{\"enum\":[\"a\\\"b\",1,null,[1]]}", ["\"a\\\"b\"", "1", "null", "[1]"], ["\"a\"", "2"]),
        ("{\"const\":{\"x\":1.5}}", ["{\"x\":1.5}"], ["{}", "{\"x\":1}"]),
        (
            "{\"type\":\"string\",\"minLength\":2,\"maxLength\":3}",
            ["\"ab\"", "\"日本語\"", "\"\\n\\u00e9\"", "\"😀😀\""], ["\"a\"", "\"abcd\""]
        ),
        ("{\"type\":\"string\",\"pattern\":\"^a+$\"}", ["\"a\"", "\"aaa\""], ["\"\"", "\"ab\""]),
        ("{\"type\":\"string\",\"pattern\":\"b\"}", ["\"abc\"", "\"b\"", "\"é\\n\\\"b\""], ["\"ac\""]),
        (
            "{\"type\":\"string\",\"pattern\":\"^[\\\\\\\\\\\"\\\\u0001]$\"}",
            ["\"\\\\\"", "\"\\\"\"", "\"\\u0001\""], ["\"\\\"", "\"a\""]
        ),
        (
            "{\"type\":\"string\",\"pattern\":\"^a\",\"maxLength\":2}", ["\"a\"", "\"ab\""],
            ["\"abc\"", "\"b\""]
        ),
        (
            "{\"type\":\"string\",\"format\":\"date\"}", ["\"2024-02-29\""],
            ["\"2023-02-29\"", "\"2024-13-01\""]
        ),
        (
            "{\"type\":\"string\",\"format\":\"date-time\"}",
            ["\"2024-02-29T12:00:00Z\"", "\"2024-01-31T23:59:59.5+01:00\""], ["\"2024-02-29\""]
        ),
        (
            "{\"type\":\"string\",\"format\":\"uuid\"}", ["\"123e4567-e89b-12d3-a456-426614174000\""],
            ["\"123e4567\""]
        ),
        ("{\"type\":\"string\",\"format\":\"ipv4\"}", ["\"127.0.0.1\""], ["\"256.0.0.1\"", "\"1.2.3\""]),
        ("{\"type\":\"string\",\"format\":\"email\"}", ["\"a.b@example.com\""], ["\"a@\"", "\"@b\""]),
        ("{\"type\":\"string\",\"format\":\"uri\"}", ["\"https://example.com/a?b#c\""], ["\"example\""]),
        (
            "{\"type\":\"integer\",\"minimum\":-3,\"maximum\":12}", ["-3", "-1", "0", "9", "12"],
            ["-4", "13", "100", "1.0"]
        ),
        (
            "{\"type\":\"integer\",\"exclusiveMinimum\":99,\"exclusiveMaximum\":102}", ["100", "101"],
            ["99", "102", "1000"]
        ),
        ("{\"type\":\"integer\",\"multipleOf\":7,\"minimum\":10}", ["14", "21", "700"], ["7", "15", "0"]),
        (
            "{\"type\":\"number\",\"minimum\":0.5,\"exclusiveMaximum\":2}", ["0.5", "0.50", "1", "1.999"],
            ["0.49", "2", "2.0", "-1", "1e0"]
        ),
        ("{\"type\":\"number\",\"maximum\":-1.25}", ["-1.25", "-1.3", "-20"], ["-1.2", "-1", "1.25", "0"]),
        ("{\"type\":\"number\",\"exclusiveMinimum\":0}", ["0.001", "5"], ["0", "0.0", "-1"]),
        ("{\"type\":\"number\",\"multipleOf\":0.25}", ["0.25", "-1.5", "3"], ["0.2", "0.125"]),
        (
            "{\"type\":\"array\",\"items\":{\"type\":\"integer\"}}", ["[]", "[1]", "[1, 2,3]", "[ 1 ]"],
            ["[1,]", "[\"a\"]", "[1 2]"]
        ),
        (
            "{\"type\":\"array\",\"items\":{\"const\":1},\"minItems\":2,\"maxItems\":3}",
            ["[1,1]", "[1,1,1]"], ["[1]", "[1,1,1,1]"]
        ),
        (
            "{\"type\":\"array\",\"prefixItems\":[{\"const\":1},{\"const\":2}]}", ["[]", "[1]", "[1,2]"],
            ["[2]", "[1,2,3]"]
        ),
        (
            "{\"type\":\"array\",\"prefixItems\":[{\"const\":1}],\"items\":{\"const\":3},\"minItems\":2}",
            ["[1,3]", "[1,3,3]"], ["[1]", "[3]"]
        ),
        ("{\"type\":\"array\",\"prefixItems\":[{\"const\":1}],\"items\":false}", ["[]", "[1]"], ["[1,1]"]),
        (
            "{\"type\":\"object\",\"properties\":{\"a\":{\"const\":1},\"b\":{\"const\":2}},\"required\":[\"a\"]}",
            ["{\"a\":1}", "{\"a\": 1, \"b\": 2}", "{ \"a\":1 }"],
            ["{}", "{\"b\":2}", "{\"b\":2,\"a\":1}", "{\"a\":1,\"c\":1}", "{\"a\":1,\"a\":1}"]
        ),
        (
            "{\"type\":\"object\",\"properties\":{\"a\":{\"const\":1},\"b\":{\"const\":2}}}",
            ["{}", "{\"a\":1}", "{\"b\":2}", "{\"a\":1,\"b\":2}"], ["{,}", "{\"a\":1,}"]
        ),
        (
            "{\"type\":\"object\",\"properties\":{\"a\":{\"const\":1}},\"additionalProperties\":{\"const\":2}}",
            ["{\"a\":1,\"b\":2}", "{\"x\":2,\"aa\":2}"],
            ["{\"a\":2}", "{\"b\":1}", "{\"b\":2,\"a\":2}", "{\"\\u0061\":2}"]
        ),
        ("{\"type\":\"object\"}", ["{}", "{\"x\":[1]}"], ["[]"]),
        ("{\"type\":\"object\",\"required\":[\"z\"],\"minProperties\":1}", ["{\"z\":1}"], ["{}"]),
        (
            "{\"type\":\"object\",\"patternProperties\":{\"^n\":{\"type\":\"integer\"},\"^s\":{\"type\":\"string\"}},\"additionalProperties\":false}",
            ["{}", "{\"n1\":5,\"s\":\"x\"}"], ["{\"n\":\"x\"}", "{\"x\":1}"]
        ),
        ("{\"type\":\"object\",\"propertyNames\":{\"pattern\":\"^[a-z]+$\"}}", ["{\"ab\":1}"], ["{\"A\":1}"]),
        (
            "{\"type\":\"object\",\"additionalProperties\":{\"const\":1},\"maxProperties\":2}",
            ["{}", "{\"a\":1,\"b\":1}"], ["{\"a\":1,\"b\":1,\"c\":1}"]
        ),
        (
            "{\"type\":\"object\",\"properties\":{\"a\":{},\"b\":{},\"c\":{}},\"additionalProperties\":false,\"minProperties\":2,\"maxProperties\":2}",
            ["{\"a\":1,\"c\":1}", "{\"b\":1,\"c\":1}"], ["{\"a\":1}", "{\"a\":1,\"b\":1,\"c\":1}"]
        ),
        (
            "{\"type\":\"object\",\"properties\":{\"a\":{\"const\":1},\"b\":{\"const\":2}},\"dependentRequired\":{\"a\":[\"b\"]}}",
            ["{}", "{\"b\":2}", "{\"a\":1,\"b\":2}"], ["{\"a\":1}"]
        ),
        (
            "{\"anyOf\":[{\"type\":\"integer\"},{\"type\":\"string\",\"maxLength\":1}]}", ["1", "\"a\""],
            ["\"ab\"", "null"]
        ),
        ("{\"oneOf\":[{\"type\":\"integer\"},{\"type\":\"string\"}]}", ["1", "\"a\""], ["null"]),
        (
            "{\"oneOf\":[{\"properties\":{\"k\":{\"const\":\"a\"},\"v\":{\"const\":1}},\"required\":[\"k\"],\"type\":\"object\"},{\"properties\":{\"k\":{\"const\":\"b\"}},\"required\":[\"k\"],\"type\":\"object\"}]}",
            ["{\"k\":\"a\",\"v\":1}", "{\"k\":\"b\"}"], ["{\"k\":\"c\"}", "{}"]
        ),
        (
            "{\"allOf\":[{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"number\"}},\"required\":[\"a\"]},{\"properties\":{\"a\":{\"minimum\":5},\"b\":{\"const\":1}}}]}",
            ["{\"a\":5}", "{\"a\":6.5,\"b\":1}"], ["{\"a\":4}", "{}", "{\"b\":1}"]
        ),
        (
            "{\"$ref\":\"#/$defs/list\",\"$defs\":{\"list\":{\"type\":\"object\",\"properties\":{\"v\":{\"type\":\"integer\"},\"next\":{\"$ref\":\"#/$defs/list\"}},\"required\":[\"v\"]}}}",
            ["{\"v\":1}", "{\"v\":1,\"next\":{\"v\":2,\"next\":{\"v\":3}}}"], ["{}", "{\"v\":1,\"next\":1}"]
        ),
        ("{\"type\":\"array\",\"items\":{\"$ref\":\"#\"}}", ["[]", "[[],[[]]]"], ["[1]"]),
        ("{\"not\":{\"type\":[\"object\",\"array\",\"string\"]}}", ["1", "null"], ["\"a\"", "[]"]),
        (
            "{\"type\":\"object\",\"properties\":{\"\\\"\\n\\u0000\":{\"const\":1}},\"required\":[\"\\\"\\n\\u0000\"]}",
            ["{\"\\\"\\n\\u0000\":1}"], ["{}"]
        ),
        (
            "{\"type\":\"object\",\"properties\":{\"a\":false,\"b\":{\"const\":1}}}", ["{}", "{\"b\":1}"],
            ["{\"a\":1}"]
        ),
    ]

    @Test(arguments: cases)
    func allows(_ test: (schema: String, allowed: [String], refused: [String])) throws {
        let schema = try JSONValue(parsing: test.schema)
        let constraint = try CompiledConstraint(.jsonSchema(schema), tokens: Vocabularies.small)
        for text in test.allowed {
            #expect(isAccepted(text, by: constraint.grammar), "\(test.schema) allows \(text)")
            #expect(throws: Never.self, "\(test.schema): \(text) is valid") { try constraint.validate(text) }
        }
        for text in test.refused {
            #expect(!isAccepted(text, by: constraint.grammar), "\(test.schema) refuses \(text)")
        }
    }

    @Test func whitespaceIsBounded() throws {
        let schema: JSONValue = ["type": "array", "items": ["type": "integer"]]
        func allows(_ text: String, _ whitespace: JSONWhitespace) throws -> Bool {
            let grammar = try Grammar(jsonSchema: schema, whitespace: whitespace)
            return isAccepted(text, by: try CompiledGrammar(grammar, tokens: Vocabularies.small))
        }
        for (text, compact, single, indented) in [
            ("[1,2]", true, true, true), ("[ 1, 2 ]", false, true, true), (" [1]", false, true, true),
            ("[\n  1,\n  2\n]", false, false, true), ("[1,  2]", false, false, false),
            ("[\n\n1]", false, false, false), ("[1] ", false, false, false),
        ] {
            #expect(try allows(text, .compact) == compact, "\(text)")
            #expect(try allows(text, .singleSpace) == single, "\(text)")
            #expect(try allows(text, .indented) == indented, "\(text)")
        }
    }

    @Test func objectsNest() throws {
        let grammar = try CompiledGrammar(Grammar.jsonObject(), tokens: Vocabularies.small)
        for text in ["{}", "{\"a\": {\"b\":[1,{}]}}"] { #expect(isAccepted(text, by: grammar)) }
        for text in ["[]", "1", "{\"a\"}", "{1:2}"] { #expect(!isAccepted(text, by: grammar)) }
        // A reader with a limit of 128 reads whatever is generated.
        var matcher = grammar.matcher()
        let opening = Array("{\"a\":".utf8)
        var depth = 0
        while depth < 1000, matcher.advance(bytes: opening) { depth += 1 }
        #expect((64..<128).contains(depth))
    }
}
