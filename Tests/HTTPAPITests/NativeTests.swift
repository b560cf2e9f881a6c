import HTTPTypes
import HummingbirdTesting
import JSON
import LightLLM
import NIOCore
import OrderedCollections
import Serving
import Testing

@testable import HTTPAPI

/// What LightLLM's launch flags change about its routes.
@Suite struct NativeTests {
    private static let request: JSONValue = [
        "inputs": "the slots",
        "parameters": ["max_new_tokens": 6, "ignore_eos": true, "return_details": true],
    ]

    @Test func speaksAsTextGenerationInference() async throws {
        let expected = Recorded()
        try await TestServer().run { client in
            let json = try await client.post("/generate", Self.request).json
            await expected.set(json)
        }
        let native = try #require(await expected.value)
        try await TestServer().run({ $0.native.usesTGI = true }) { client in
            let parameters: JSONValue = [
                "max_new_tokens": 6, "ignore_eos": true, "details": true, "stop": ["never to be seen"],
                "typical_p": nil, "watermark": false, "truncate": nil, "decoder_input_details": false,
                "return_full_text": false, "seed": nil, "best_of": nil,
            ]
            let (status, json) = try await client.post(
                "/generate", ["inputs": "the slots", "parameters": parameters])
            #expect(status == .ok && json.array?.count == 1)
            let answer = try #require(json.array?.first)
            #expect(
                answer.object?.keys.map(\.string) == [
                    "generated_text", "count_output_tokens", "finish_reason", "details",
                ])
            #expect(answer["generated_text"] == native["generated_text"]?.array?[0])
            #expect(answer["details"]?["tokens"] == native["tokens"])
            #expect(answer["details"]?["generated_tokens"]?.int == 6)
            #expect(answer["details"]?["finish_reason"]?.string == "length")

            let body: JSONValue = ["inputs": "the slots", "parameters": parameters, "stream": true]
            for path in ["/", "/generate_stream"] {
                let text = try await client.postText(path, body.serialized).text
                #expect(text.hasPrefix("data:{\"token\": {\"id\": "))
                let parts = try events(text)
                #expect(parts.count == 6)
                #expect(
                    parts[0]["token"]?.object?.keys.map(\.string) == [
                        "id", "text", "logprob", "special", "count_output_tokens",
                    ])
                #expect(
                    parts[0].object?.keys.map(\.string) == [
                        "token", "generated_text", "finished", "finish_reason", "details",
                    ])
                #expect(parts[4]["generated_text"]?.isNull == true && parts[4]["details"]?.isNull == true)
                #expect(parts[5]["generated_text"] == answer["generated_text"])
                #expect(parts[5]["details"] == ["generated_tokens": 6, "finish_reason": "length"])
                #expect(text.contains(#""details": {"generated_tokens": 6, "finish_reason": "length"}}"#))
            }
            let stopped = try await client.post(
                "/generate", ["inputs": "the slots", "parameters": ["stop": "e", "max_new_tokens": 40]])
            #expect(stopped.json.array?[0]["finish_reason"]?.string == "stop")
        }
    }

    @Test func scoresPromptsWhereAsked() async throws {
        try await TestServer().run({ $0.native.scoresPrompts = true }) { client in
            let body: JSONValue = ["inputs": [5, 6, 7, 8], "parameters": ["max_new_tokens": 2]]
            // Twice: the second could find the first's prompt in the cache.
            for _ in 0..<2 {
                let json = try await client.post("/generate", body).json
                #expect(json["prompt_token_ids"] == [5, 6, 7, 8])
                let echo = try await client.post(
                    "/v1/completions",
                    ["prompt": [5, 6, 7, 8], "echo": true, "logprobs": 0, "max_tokens": 0, "temperature": 0])
                let scores = try #require(
                    echo.json["choices"]?.array?[0]["logprobs"]?["token_logprobs"]?.array)
                #expect(
                    json["prompt_logprobs"] == [
                        [5, ["6": scores[1]]], [6, ["7": scores[2]]], [7, ["8": scores[3]]],
                    ])
            }
            let several = try await client.post(
                "/generate",
                ["inputs": [5, 6, 7], "parameters": ["best_of": 3, "do_sample": true, "max_new_tokens": 2]])
            #expect(several.json["prompt_logprobs"]?.array?.count == 2)
        }
    }

    @Test func answersOfARequestShareItsPrompt() async throws {
        let server = try TestServer()
        let prompt = JSONValue.array((0..<200).map { .integer(5 + $0 % 90) })
        try await server.run({ $0.native.group = .diverse }) { client in
            let (status, json) = try await client.post(
                "/generate",
                [
                    "inputs": prompt,
                    "parameters": [
                        "best_of": 8, "do_sample": true, "max_new_tokens": 4, "ignore_eos": true,
                        "return_details": true,
                    ],
                ])
            #expect(status == .ok && json["generated_text"]?.array?.count == 8)
            for tokens in json["tokens"]?.array ?? [] {
                var sum = 0.0
                for token in tokens.array ?? [] {
                    sum += token["logprob"]?.double ?? .nan
                    #expect(abs((token["cumlogprob"]?.double ?? .nan) - sum) < 1e-5)
                }
            }
        }
        // The whole prompt once, and for each of the others its last token.
        #expect(server.generator.engine.statistics.promptTokens == 200 + 7)
    }

    @Test func honoursEveryKnownField() async throws {
        try await TestServer().run { client in
            let internalFields: JSONValue = [
                "group_request_id": 16, "suggested_dp_index": 0, "image_max_patch_num": -1,
                "move_kv_to_decode_node": nil, "max_new_tokens": 1,
            ]
            try await client.execute(
                uri: "/generate", method: .post,
                body: .init(
                    string: JSONValue.object(["inputs": "x", "parameters": internalFields]).serialized)
            ) { response in
                #expect(response.status == .ok)
                #expect(response.headers[.init("x-ignored-fields")!] == nil)
            }
            for (field, value) in [
                ("group_request_id", "a"), ("suggested_dp_index", "a"), ("move_kv_to_decode_node", ["a": 1]),
                ("image_max_patch_num", 4), ("stop_sequences", ["a", 1]), ("stop_sequences", [[1], "a"]),
            ] as [(JSONKey, JSONValue)] {
                let body: JSONValue = ["inputs": "x", "parameters": .object([field: value])]
                #expect(try await client.post("/generate", body).status == .badRequest, "\(field)")
            }
            // LazyLLM's place for a stop, beside the usual one.
            let stopped = try await client.post(
                "/generate",
                [
                    "inputs": "the slots", "stop": ["e"],
                    "parameters": ["max_new_tokens": 40, "ignore_eos": true, "stop_sequences": nil],
                ])
            #expect(stopped.json["finish_reason"]?.string == "stop")
            let split = try await client.post("/pd_generate_stream", ["inputs": "x"])
            #expect(split.status == .notFound && split.json["message"]?.string?.contains("decode") == true)
        }
    }

    @Test func countsTokens() async throws {
        try await TestServer().run { client in
            let plain = try await client.post("/tokens", ["text": "the slots"]).json["ntokens"]?.int ?? 0
            let bare = try await client.post(
                "/tokens", ["text": "the slots", "parameters": ["add_special_tokens": false]]
            ).json["ntokens"]?.int
            #expect(plain > 0 && bare == plain - 1)
            let body: JSONValue = [
                "text": "the slots", "parameters": [:], "multimodal_params": ["images": []],
            ]
            #expect(try await client.post("/tokens", body).json["ntokens"]?.int == plain)
            for body: JSONValue in [
                [:], ["text": 4], ["text": "x", "parameters": 3],
                ["text": "x", "multimodal_params": ["images": [["type": "url", "data": "y"]]]],
            ] {
                #expect(try await client.post("/tokens", body).status == .badRequest)
            }
        }
    }
}

/// A value that one server's test leaves for another's.
actor Recorded {
    private(set) var value: JSONValue?
    func set(_ value: JSONValue) { self.value = value }
}
