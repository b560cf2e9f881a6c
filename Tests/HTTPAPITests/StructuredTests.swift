import HTTPTypes
import HummingbirdTesting
import JSON
import LightLLM
import OrderedCollections
import StructuredOutput
import Testing

@testable import HTTPAPI

/// Answers of a model whose weights are random, so that nothing but the constraint gives them their form.
@Suite struct StructuredTests {
    private static let schema: JSONValue = [
        "type": "object",
        "properties": [
            "name": ["type": "string", "maxLength": 8],
            "age": ["type": "integer", "minimum": 0, "maximum": 150],
            "tags": ["type": "array", "items": ["enum": ["a", "b"]], "maxItems": 3],
        ],
        "required": ["name", "age", "tags"], "additionalProperties": false,
    ]

    private static func chat(_ client: any TestClientProtocol, _ more: JSONValue.Members) async throws -> (
        status: HTTPResponse.Status, text: String?, json: JSONValue
    ) {
        var body: JSONValue.Members = [
            "messages": [["role": "user", "content": "the tokens"]], "max_tokens": 200, "temperature": 1,
            "seed": 7,
        ]
        body.merge(more) { $1 }
        let (status, json) = try await client.post("/v1/chat/completions", .object(body))
        return (status, json["choices"]?.array?.first?["message"]?["content"]?.string, json)
    }

    @Test func everySpellingOfASchemaGivesTheSameAnswer() async throws {
        try await TestServer(longest: 512).run { client in
            let schema = Self.schema
            let spellings: [JSONValue.Members] = [
                [
                    "response_format": [
                        "type": "json_schema",
                        "json_schema": ["name": "p", "schema": schema, "strict": true],
                    ]
                ],
                ["response_format": ["type": "json_object", "schema": schema]],
                ["guided_json": schema], ["guided_json": .string(schema.serialized)],
                ["structured_outputs": ["json": schema]], ["json_schema": schema],
            ]
            var texts: Set<String> = []
            for spelling in spellings {
                let (status, text, json) = try await Self.chat(client, spelling)
                #expect(status == .ok, "\(json.serialized)")
                texts.insert(text ?? "")
            }
            #expect(texts.count == 1)
            let document = try JSONValue(parsing: try #require(texts.first))
            try JSONSchemaValidator(schema).validate(document)
            // LightLLM's own shape, for the same prompt.
            let native = try await client.post(
                "/generate",
                [
                    "inputs": "the tokens",
                    "parameters": ["max_new_tokens": 200, "guided_json": .string(schema.serialized)],
                ]
            ).json
            let text = try #require(native["generated_text"]?.array?.first?.string)
            try JSONSchemaValidator(schema).validate(try JSONValue(parsing: text))
            #expect(native["finish_reason"]?.string == "stop")
        }
    }

    @Test func holdsToExpressionsChoicesGrammarsAndTokens() async throws {
        try await TestServer().run { client in
            let (_, regex, _) = try await Self.chat(client, ["guided_regex": "[a-c]{3}-\\d{2}"])
            #expect(try #require(regex).wholeMatch(of: /[a-c]{3}-\d{2}/) != nil)
            let (_, choice, _) = try await Self.chat(client, ["guided_choice": ["left", "right"]])
            #expect(["left", "right"].contains(choice))
            let (_, grammar, _) = try await Self.chat(
                client, ["guided_grammar": "root ::= \"x\" num \"y\"\nnum ::= [0-9] [0-9]"])
            #expect(try #require(grammar).wholeMatch(of: /x\d\dy/) != nil)
            let (_, object, _) = try await Self.chat(
                client, ["response_format": ["type": "json_object"], "max_tokens": 60, "temperature": 0])
            #expect(object?.hasPrefix("{") == true || object?.hasPrefix(" {") == true)
            let allowed = try await client.post(
                "/generate",
                [
                    "inputs": [5, 6],
                    "parameters": [
                        "max_new_tokens": 9, "allowed_token_ids": [7, 8, 9_999_999], "return_details": true,
                        "do_sample": true, "ignore_eos": true,
                    ],
                ]
            ).json
            let tokens = allowed["tokens"]?.array?.compactMap { $0["id"]?.int } ?? []
            #expect(tokens.count == 9 && tokens.allSatisfy { $0 == 7 || $0 == 8 })
        }
    }

    /// The state of a grammar is its request's own, whatever else runs.
    @Test func answersAreTheSameAloneAndAmongOthers() async throws {
        try await TestServer(longest: 512).run { client in
            let bodies: [JSONValue.Members] = (0..<12).map { index in
                var body: JSONValue.Members = [
                    "seed": .integer(index), "messages": [["role": "user", "content": .string("n\(index)")]],
                ]
                switch index % 3 {
                case 0: body["guided_json"] = Self.schema
                case 1: body["guided_regex"] = "(ab|cd){2,9}"
                default: body["max_tokens"] = 20
                }
                return body
            }
            var alone: [String?] = []
            for body in bodies { alone.append(try await Self.chat(client, body).text) }
            let together = try await withThrowingTaskGroup(of: (Int, String?).self) { group in
                for (index, body) in bodies.enumerated() {
                    group.addTask { (index, try await Self.chat(client, body).text) }
                }
                var texts = [String?](repeating: nil, count: bodies.count)
                for try await (index, text) in group { texts[index] = text }
                return texts
            }
            #expect(alone == together)
        }
    }

    @Test func streamsWhatItWouldAnswer() async throws {
        try await TestServer(longest: 512).run { client in
            let (_, whole, _) = try await Self.chat(client, ["guided_json": Self.schema])
            let (_, text) = try await client.postText(
                "/v1/chat/completions",
                JSONValue.object([
                    "messages": [["role": "user", "content": "the tokens"]], "max_tokens": 200,
                    "temperature": 1, "seed": 7, "guided_json": Self.schema, "stream": true,
                ]).serialized)
            let streamed = try events(text).compactMap {
                $0["choices"]?.array?.first?["delta"]?["content"]?.string
            }.joined()
            #expect(streamed == whole)
        }
    }

    @Test func refusesTwoFormsAtOnce() async throws {
        try await TestServer().run { client in
            for body: JSONValue.Members in [
                ["guided_json": Self.schema, "guided_regex": "a"],
                ["guided_choice": ["a"], "allowed_token_ids": [5]],
                ["response_format": ["type": "xml"]], ["response_format": ["type": "json_schema"]],
                ["structured_outputs": ["structural_tag": "x"]], ["allowed_token_ids": [-1]],
                ["guided_json": "{"], ["guided_choice": []],
            ] {
                let (status, _, json) = try await Self.chat(client, body)
                #expect(status == .badRequest, "\(JSONValue.object(body).serialized): \(json.serialized)")
            }
        }
    }
}
