import HTTPTypes
import HummingbirdTesting
import JSON
import LightLLM
import OrderedCollections
import Testing

@testable import HTTPAPI

@Suite struct OpenAITests {
    private static let messages: JSONValue = [["role": "user", "content": "the tokens"]]

    @Test func chats() async throws {
        try await TestServer().run { client in
            let body: JSONValue.Members = [
                "model": "any", "messages": Self.messages, "max_tokens": 12, "temperature": 0,
                "ignore_eos": true,
                "logprobs": true, "top_logprobs": 2,
            ]
            let (status, json) = try await client.post("/v1/chat/completions", .object(body))
            #expect(
                status == .ok && json["object"]?.string == "chat.completion" && json["model"]?.string == "any"
            )
            let choice = json["choices"]?.array?.first
            #expect(
                choice?["message"]?["role"]?.string == "assistant"
                    && choice?["finish_reason"]?.string == "length")
            #expect(choice?["logprobs"]?["content"]?.array?.count == 12)
            #expect(choice?["logprobs"]?["content"]?.array?[0]["top_logprobs"]?.array?.count == 2)
            #expect(json["usage"]?["completion_tokens"]?.int == 12)
            var streamed = body
            (streamed["stream"], streamed["stream_options"]) = (true, ["include_usage": true])
            let (_, text) = try await client.postText(
                "/v1/chat/completions", JSONValue.object(streamed).serialized)
            #expect(text.hasSuffix("data: [DONE]\n\n"))
            let chunks = try events(text)
            let content = chunks.compactMap { $0["choices"]?.array?.first?["delta"]?["content"]?.string }
                .joined()
            #expect(content == choice?["message"]?["content"]?.string)
            let (usage, first) = (chunks.last?["usage"], json["usage"])
            #expect(usage?["total_tokens"] == first?["total_tokens"])
            #expect(first?["prompt_tokens_details"]?["cached_tokens"] == 0)
            let cached = (first?["prompt_tokens"]?.int ?? 0) - 1
            #expect(usage?["prompt_tokens_details"]?["cached_tokens"]?.int == cached)
            #expect(chunks.last?["choices"]?.array?.isEmpty == true)
            let parts: JSONValue = [["role": "user", "content": [["type": "text", "text": "the tokens"]]]]
            var inParts = body
            inParts["messages"] = parts
            #expect(
                try await client.post("/v1/chat/completions", .object(inParts)).json["choices"]
                    == json["choices"])
        }
    }

    @Test func givesTheBestOfSeveral() async throws {
        try await TestServer().run { client in
            func choices(_ more: JSONValue.Members) async throws -> (texts: [String], means: [Double]) {
                let body: JSONValue.Members = [
                    "prompt": [5, 6], "max_tokens": 8, "temperature": 1, "seed": 3, "logprobs": 0,
                    "ignore_eos": true,
                ]
                let (_, json) = try await client.post("/v1/completions", .object(body.merging(more) { $1 }))
                let list = json["choices"]?.array ?? []
                return (
                    list.compactMap { $0["text"]?.string },
                    list.map { choice in
                        let known = choice["logprobs"]?["token_logprobs"]?.array?.compactMap(\.double) ?? []
                        return known.reduce(0, +) / Double(max(known.count, 1))
                    }
                )
            }
            let all = try await choices(["n": 6])
            let best = try await choices(["n": 2, "best_of": 6])
            let order = all.means.indices.sorted { all.means[$0] > all.means[$1] }
            #expect(best.texts == order.prefix(2).map { all.texts[$0] })
        }
    }

    @Test func completesEveryFormOfPrompt() async throws {
        try await TestServer().run { client in
            func complete(_ prompt: JSONValue, _ more: JSONValue.Members = [:]) async throws -> JSONValue {
                let body: JSONValue.Members = [
                    "prompt": prompt, "max_tokens": 6, "temperature": 0, "ignore_eos": true,
                ]
                let (status, json) = try await client.post(
                    "/v1/completions", .object(body.merging(more) { $1 }))
                #expect(status == .ok, "\(json.serialized)")
                return json
            }
            let one = try await complete("the slot")
            let tokens = try await client.post("/tokens", ["text": "the slot"]).json["ntokens"]?.int
            #expect(one["usage"]?["prompt_tokens"]?.int == tokens)
            let several = try await complete(["the slot", "every", "the slot"])
            let texts = several["choices"]?.array?.map { $0["text"]?.string } ?? []
            #expect(
                texts.count == 3 && texts[0] == one["choices"]?.array?[0]["text"]?.string
                    && texts[0] == texts[2])
            #expect(try await complete([5, 6])["choices"]?.array?.count == 1)
            #expect(
                try await complete([[5, 6], [7]], ["n": 2])["choices"]?.array?.map { $0["index"]?.int } == [
                    0, 1, 2, 3,
                ])
            let echo = try await complete([5, 6, 7], ["echo": true, "logprobs": 2, "max_tokens": 0])
            let log = echo["choices"]?.array?[0]["logprobs"]
            #expect(log?["tokens"]?.array?.count == 3 && log?["token_logprobs"]?.array?[0].isNull == true)
            #expect(
                log?["token_logprobs"]?.array?[2].double ?? 1 < 0 && log?["text_offset"]?.array?[0].int == 0)
            #expect(echo["usage"]?["completion_tokens"]?.int == 0)
            let text = #"{"prompt":["a","b"],"max_tokens":4,"stream":true,"temperature":0,"echo":true}"#
            let streamed = try await client.postText("/v1/completions", text).text
            #expect(
                Set(try events(streamed).compactMap { $0["choices"]?.array?.first?["index"]?.int }) == [0, 1])
        }
    }

    static let refused: [(String, JSONValue.Members, String)] = [
        ("/v1/chat/completions", [:], "messages is missing"),
        ("/v1/chat/completions", ["messages": []], "messages is empty"),
        ("/v1/chat/completions", ["messages": "hi"], "messages must be a list"),
        ("/v1/chat/completions", ["messages": [["content": "x"]]], "role"),
        ("/v1/chat/completions", ["messages": [["role": "user", "content": 5]]], "content"),
        (
            "/v1/chat/completions", ["messages": [["role": "user", "content": [["type": "image_url"]]]]],
            "image_url"
        ),
        ("/v1/chat/completions", ["messages": messages, "temperature": -1], "temperature"),
        ("/v1/chat/completions", ["messages": messages, "n": 0], "n must be between"),
        ("/v1/chat/completions", ["messages": messages, "max_tokens": 0], "must be at least 1"),
        ("/v1/chat/completions", ["messages": messages, "max_tokens": 1000], "> 256"),
        (
            "/v1/chat/completions", ["messages": messages, "tools": [["type": "function"]]],
            "tools[0].function.name is missing"
        ),
        (
            "/v1/chat/completions", ["messages": messages, "response_format": ["type": "xml"]],
            "response_format"
        ),
        ("/v1/chat/completions", ["messages": messages, "logit_bias": ["x": 1]], "logit_bias"),
        ("/v1/chat/completions", ["messages": messages, "top_logprobs": 2], "top_logprobs"),
        ("/v1/completions", ["prompt": "x", "suffix": "y"], "suffix"),
        ("/v1/completions", ["prompt": []], "cannot be empty"),
        ("/v1/completions", [:], "prompt is missing"),
        ("/v1/completions", ["prompt": "x", "best_of": 3, "stream": true], "best_of"),
        ("/v1/completions", ["prompt": "x", "n": 2, "best_of": 1], "best_of"),
        ("/v1/completions", ["prompt": "x", "bad_words": ["a"]], "bad_words"),
        ("/v1/completions", ["prompt": ["a", 5]], "prompt must be"),
        ("/v1/completions", ["prompt": "x", "stop": 5], "stop"),
        ("/v1/completions", ["prompt": "x", "logprobs": 99], "logprobs"),
        ("/v1/completions", ["prompt": "x", "seed": "y"], "seed"),
    ]

    @Test func refusesInOpenAIsWay() async throws {
        try await TestServer().run { client in
            for (path, body, message) in Self.refused {
                let (status, json) = try await client.post(path, .object(body))
                #expect(status == .badRequest, "\(body)")
                #expect(json["error"]?["message"]?.string?.contains(message) == true, "\(json.serialized)")
                #expect(json["error"]?["type"]?.string == "invalid_request_error" && json["message"] == nil)
            }
        }
    }

    @Test func tellsAboutItself() async throws {
        try await TestServer().run { client in
            let models = try JSONValue(parsing: await client.get("/v1/models").text)
            #expect(models["data"]?.array?[0]["id"]?.string == "tiny")
            let statuses = try await [
                client.get("/v1/models/tiny").status, client.get("/v1/models/other").status,
            ]
            #expect(statuses == [.ok, .notFound])
            for path in ["/health", "/healthz", "/liveness", "/readiness", "/token_load", "/get_model_name"] {
                let status = try await client.get(path).status
                #expect(status == .ok, "\(path)")
            }
            let nothing = try await client.get("/nothing").text
            #expect(try JSONValue(parsing: nothing)["detail"]?.string == "Not Found")
            let metrics = try await client.get("/metrics").text
            #expect(metrics.contains("lightllm_kv_slots_free 4096"))
            let tokens = try await client.post("/tokens", ["text": 5])
            #expect(tokens.status == .badRequest)
        }
    }

    /// Clients that leave in the middle, of every route: what they took must come back.
    @Test func leavingClientsGiveBackWhatTheyTook() async throws {
        // One runs at a time, so that most leave while they wait.
        let server = try TestServer(slots: 1024, runningRequests: 1)
        try await server.run { client in
            let port = try #require(client.port)
            for path in ["/generate", "/generate_stream", "/v1/completions"] {
                let body =
                    #"{"inputs":"a","prompt":["a","b"],"max_tokens":200,"ignore_eos":true,"#
                    + #""parameters":{"max_new_tokens":200,"ignore_eos":true}}"#
                for _ in 0..<8 { try leave(port: port, path: path, body: body) }
            }
            for _ in 0..<1000 where server.generator.engine.statistics.cancelledRequests < 4 {
                try await Task.sleep(for: .milliseconds(10))
            }
            #expect(server.generator.engine.statistics.cancelledRequests >= 4)
        }
    }

    /// Streams of every length at once, in a cache that holds only some of them.
    @Test func manyStreamsShareASmallCache() async throws {
        try await TestServer(slots: 700, runningRequests: 16).run { client in
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<64 {
                    group.addTask {
                        let body: JSONValue = [
                            "prompt": .array((0...(number * 3) % 100).map { .integer(($0 + number) % 300) }),
                            "max_tokens": .integer(1 + number % 37), "temperature": 0, "ignore_eos": true,
                            "stream": .bool(number % 2 == 0),
                        ]
                        let (status, text) = try await client.postText("/v1/completions", body.serialized)
                        #expect(status == .ok)
                        if number % 2 == 0 {
                            #expect(text.hasSuffix("data: [DONE]\n\n"))
                        } else {
                            #expect(
                                try JSONValue(parsing: text)["usage"]?["completion_tokens"]?.int == 1 + number
                                    % 37)
                        }
                    }
                }
                try await group.waitForAll()
            }
        }
    }
}
