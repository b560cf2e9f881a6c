import HTTPTypes
import HummingbirdTesting
import JSON
import LightLLM
import NIOCore
import OrderedCollections
import Testing

@testable import HTTPAPI

/// Reasoning and calls of tools in every interface for conversations. A regular expression puts the words into
/// the mouth of a model that has learnt nothing.
@Suite struct ConversationTests {
    static let template = """
        {%- for t in tools or [] %}<tool_call>{{ t.function.name }}</tool_call>{% endfor -%}
        {%- for m in messages %}[{{ m.role }}]{{ m.content or '' }}{% for c in m.tool_calls or [] %}\
        {{ c.function.name }}({{ c.function.arguments | tojson }}){% endfor %}{% endfor -%}
        {%- if add_generation_prompt %}[assistant]{% if enable_thinking %}<think>{% endif %}{% endif -%}
        {#- </think> -#}
        """
    private static let parameters: JSONValue = [
        "type": "object", "properties": ["city": ["type": "string", "maxLength": 9]],
        "required": ["city"], "additionalProperties": false,
    ]
    private static let tools: JSONValue = [
        ["type": "function", "function": ["name": "weather", "description": "d", "parameters": parameters]]
    ]
    /// The same without reasoning.
    private static let plainTemplate = template.replacing("<think>", with: "").replacing("</think>", with: "")
    private static let thought = "<think>hm</think>so [a-z]{3}"

    private static func run(
        _ template: String = template,
        _ body: @escaping @Sendable (any TestClientProtocol) async throws -> Void
    ) async throws {
        try await TestServer(longest: 512, template: template).run({ _ in }, body)
    }

    private static let question: JSONValue = [["role": "user", "content": "weather?"]]

    @Test func splitsAChatAnswer() async throws {
        try await Self.run { client in
            let body: JSONValue.Members = [
                "messages": Self.question, "max_tokens": 300, "temperature": 0,
                "guided_regex": .string(Self.thought),
            ]
            let json = try await client.post("/v1/chat/completions", .object(body)).json
            let choice = try #require(json["choices"]?.array?.first)
            let message = try #require(choice["message"])
            #expect(choice["finish_reason"] == "stop", "\(json.serialized)")
            #expect(message["reasoning_content"] == "hm")
            #expect(message["content"]?.string?.wholeMatch(of: /so [a-z]{3}/) != nil)
            let details = json["usage"]?["completion_tokens_details"]?["reasoning_tokens"]?.int ?? 0
            #expect(details > 0)
            let deltas = try await Self.deltas(client, body)
            func joined(_ key: String) -> String { deltas.compactMap { $0[key]?.string }.joined() }
            #expect(joined("reasoning_content") == "hm")
            #expect(joined("content") == message["content"]?.string)
        }
    }

    /// The pieces of the streamed answer to `body`.
    private static func deltas(_ client: any TestClientProtocol, _ body: JSONValue.Members) async throws
        -> [JSONValue]
    {
        var streamed = body
        streamed["stream"] = true
        let (_, text) = try await client.postText(
            "/v1/chat/completions", JSONValue.object(streamed).serialized)
        return try events(text).compactMap { $0["choices"]?.array?.first?["delta"] }
    }

    @Test func forcesCalls() async throws {
        try await Self.run(Self.plainTemplate) { client in
            let body: JSONValue.Members = [
                "messages": Self.question, "tools": Self.tools, "max_tokens": 400, "temperature": 0,
            ]
            for choice: JSONValue in ["required", ["type": "function", "function": ["name": "weather"]]] {
                var forced = body
                (forced["tool_choice"], forced["parallel_tool_calls"]) = (choice, false)
                let json = try await client.post("/v1/chat/completions", .object(forced)).json
                let answer = try #require(json["choices"]?.array?.first, "\(json.serialized)")
                let calls = answer["message"]?["tool_calls"]?.array ?? []
                #expect(
                    calls.count == 1 && calls.first?["function"]?["name"] == "weather", "\(json.serialized)")
                #expect(answer["finish_reason"] == "tool_calls")
                let arguments = try #require(calls.first?["function"]?["arguments"]?.string)
                #expect(try JSONValue(parsing: arguments)["city"]?.string != nil)
                #expect(calls.first?["id"]?.string?.hasPrefix("call_") == true)
                let pieces = try await Self.deltas(client, forced).compactMap {
                    $0["tool_calls"]?.array?.first
                }
                #expect(pieces.compactMap { $0["function"]?["name"]?.string } == ["weather"])
                #expect(pieces.compactMap { $0["function"]?["arguments"]?.string }.joined() == arguments)
                #expect(pieces.count > 2)
            }
            var message: JSONValue.Members = ["model": "m", "max_tokens": 400, "messages": Self.question]
            message["tools"] = [["name": "weather", "input_schema": Self.parameters]]
            message["tool_choice"] = ["type": "any", "disable_parallel_tool_use": true]
            message["temperature"] = 0
            let native = try await client.post("/v1/messages", .object(message)).json
            #expect(native["content"]?.array?.first?["type"] == "tool_use", "\(native.serialized)")
            // A form beside tools leaves both open; a forced call leaves no other.
            var both = body
            both["guided_choice"] = ["rain"]
            let free = try await client.post("/v1/chat/completions", .object(both))
            #expect(free.status == .ok)
            both["tool_choice"] = "required"
            #expect(try await client.post("/v1/chat/completions", .object(both)).status == .badRequest)
        }
    }

    @Test func hidesOrKeepsReasoning() async throws {
        try await Self.run { client in
            let body: JSONValue.Members = [
                "messages": Self.question, "max_tokens": 300, "temperature": 0,
                "guided_regex": "<think>hm</think>yes",
            ]
            func message(_ field: JSONKey) async throws -> JSONValue? {
                var body = body
                body[field] = false
                return try await client.post("/v1/chat/completions", .object(body)).json["choices"]?.array?
                    .first?["message"]
            }
            let hidden = try await message("include_reasoning")
            #expect(hidden?["content"] == "yes" && hidden?["reasoning_content"] == nil)
            #expect(try await message("separate_reasoning")?["content"] == "<think>hm</think>yes")
        }
    }

    /// A form is that of the answer, which begins after the reasoning that the prompt opens.
    @Test func constrainsWhatFollowsReasoning() async throws {
        try await Self.run { client in
            let json = try await client.post(
                "/v1/chat/completions",
                [
                    "messages": Self.question, "max_tokens": 40, "temperature": 0, "reasoning_effort": "low",
                    "guided_choice": ["yes", "no"], "ignore_eos": true,
                ]
            ).json
            let choice = try #require(json["choices"]?.array?.first)
            // The model never closes its reasoning by itself, and may not end before it does.
            #expect(choice["finish_reason"] == "length", "\(json.serialized)")
            #expect(choice["message"]?["content"] == "")
            #expect(choice["message"]?["reasoning_content"]?.string?.isEmpty == false)
        }
    }

    @Test func answersAnthropicsMessages() async throws {
        try await Self.run { client in
            // The one way to give this model words is a schema; its tools' words come from elsewhere.
            let body: JSONValue.Members = [
                "model": "m", "max_tokens": 200, "system": "Be brief.",
                "messages": [
                    ["role": "user", "content": [["type": "text", "text": "weather?"]]],
                    [
                        "role": "assistant",
                        "content": [
                            ["type": "tool_use", "id": "t1", "name": "weather", "input": ["city": "x"]]
                        ],
                    ],
                    [
                        "role": "user",
                        "content": [["type": "tool_result", "tool_use_id": "t1", "content": "rain"]],
                    ],
                ],
                "output_format": [
                    "type": "json_schema",
                    "schema": ["type": "object", "properties": ["a": ["enum": [1, 2]]], "required": ["a"]],
                ],
                "temperature": 0,
            ]
            let (status, json) = try await client.post("/v1/messages", .object(body))
            #expect(status == .ok, "\(json.serialized)")
            #expect(
                json["type"] == "message" && json["role"] == "assistant" && json["stop_reason"] == "end_turn")
            let text = try #require(json["content"]?.array?.first?["text"]?.string)
            #expect(try JSONValue(parsing: text)["a"] != nil)
            let count = try await client.post("/v1/messages/count_tokens", .object(body)).json
            let usage = json["usage"]
            #expect(
                count["input_tokens"]?.int
                    == (usage?["input_tokens"]?.int ?? 0) + (usage?["cache_read_input_tokens"]?.int ?? 0))
            var streamed = body
            streamed["stream"] = true
            let (_, stream) = try await client.postText("/v1/messages", JSONValue.object(streamed).serialized)
            let names = stream.split(separator: "\n").filter { $0.hasPrefix("event: ") }.map {
                $0.dropFirst(7)
            }
            #expect(names.first == "message_start" && names.last == "message_stop")
            #expect(names.filter { $0 == "content_block_start" }.count == 1)
            let deltas = try stream.split(separator: "\n").filter { $0.hasPrefix("data: ") }.map {
                try JSONValue(parsing: String($0.dropFirst(6)))
            }
            #expect(deltas.compactMap { $0["delta"]?["text"]?.string }.joined() == text)
            let refused = try await client.post("/v1/messages", ["model": "m", "messages": []])
            #expect(refused.status == .badRequest && refused.json["type"] == "error")
            #expect(refused.json["error"]?["type"] == "invalid_request_error")
        }
    }

    @Test func answersResponses() async throws {
        try await Self.run { client in
            let body: JSONValue.Members = [
                "model": "m", "instructions": "Be brief.", "max_output_tokens": 200, "temperature": 0,
                "input": [
                    ["role": "user", "content": [["type": "input_text", "text": "weather?"]]],
                    [
                        "type": "function_call", "call_id": "c1", "name": "weather",
                        "arguments": "{\"city\": \"x\"}",
                    ],
                    ["type": "function_call_output", "call_id": "c1", "output": "rain"],
                ],
                "text": [
                    "format": [
                        "type": "json_schema", "name": "n",
                        "schema": [
                            "type": "object", "properties": ["a": ["enum": [1, 2]]], "required": ["a"],
                        ],
                    ]
                ],
            ]
            let (status, json) = try await client.post("/v1/responses", .object(body))
            #expect(status == .ok && json["status"] == "completed", "\(json.serialized)")
            let item = json["output"]?.array?.first
            let text = try #require(item?["content"]?.array?.first?["text"]?.string)
            #expect(item?["type"] == "message" && json["instructions"] == "Be brief.")
            #expect(try JSONValue(parsing: text)["a"] != nil)
            var streamed = body
            streamed["stream"] = true
            let (_, stream) = try await client.postText(
                "/v1/responses", JSONValue.object(streamed).serialized)
            let events = try stream.split(separator: "\n").filter { $0.hasPrefix("data: ") }.map {
                try JSONValue(parsing: String($0.dropFirst(6)))
            }
            #expect(events.map { $0["sequence_number"]?.int } == Array(0..<events.count))
            #expect(events.first?["type"] == "response.created")
            #expect(events.last?["type"] == "response.completed")
            #expect(
                events.filter { $0["type"] == "response.output_text.delta" }
                    .compactMap { $0["delta"]?.string }.joined() == text)
            for field: JSONKey in ["previous_response_id", "background", "store"] {
                var refused = body
                refused[field] = field == "previous_response_id" ? "resp_1" : true
                #expect(try await client.post("/v1/responses", .object(refused)).status == .badRequest)
            }
        }
    }

    @Test func refusesWhatIsNoConversation() async throws {
        try await Self.run { client in
            let wrong: [JSONValue] = [
                [["role": "system2", "content": "x"]], [["role": "user", "content": nil]],
                [["role": "user"]], [["role": "user", "content": [["type": "audio"]]]],
                [["content": "x"]], ["x"], [], "x", [["role": "user", "content": 5]],
                [
                    [
                        "role": "assistant", "content": nil,
                        "tool_calls": [["id": "1", "function": ["name": "f", "arguments": "{no"]]],
                    ]
                ],
            ]
            for messages in wrong {
                let (status, json) = try await client.post(
                    "/v1/chat/completions", ["messages": messages, "max_tokens": 1])
                #expect(status == .badRequest, "\(messages.serialized): \(json.serialized)")
            }
            let many = JSONValue.array(
                (0..<4000).map { ["role": $0 % 2 == 0 ? "user" : "assistant", "content": "x"] })
            #expect(
                try await client.post("/v1/chat/completions", ["messages": many, "max_tokens": 1]).status
                    == .badRequest)
        }
    }
}
