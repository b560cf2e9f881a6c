import HTTPTypes
import HummingbirdTesting
import JSON
import LightLLM
import NIOCore
import OrderedCollections
import Testing

@testable import HTTPAPI

@Suite struct GenerateTests {
    @Test func answersAsLightLLMDoes() async throws {
        try await TestServer().run { client in
            let (status, json) = try await client.post(
                "/generate",
                ["inputs": "the tokens", "parameters": ["max_new_tokens": 7, "ignore_eos": true]])
            #expect(status == .ok)
            #expect(
                json.object?.keys.map(\.string) == [
                    "generated_text", "count_output_tokens", "finish_reason", "prompt_tokens",
                ])
            #expect(json["generated_text"]?.array?.count == 1 && json["count_output_tokens"]?.int == 7)
            #expect(json["finish_reason"]?.string == "length")
            let details = try await client.post(
                "/generate",
                [
                    "inputs": "the tokens",
                    "parameters": ["max_new_tokens": 7, "ignore_eos": true, "return_details": true],
                ])
            let tokens = details.json["tokens"]?.array ?? []
            #expect(tokens.count == 7 && tokens.map { $0["count_output_tokens"]?.int } == (1...7).map { $0 })
            #expect(
                tokens.compactMap { $0["text"]?.string }.joined() == json["generated_text"]?.array?[0].string)
        }
    }

    @Test func streamsTheSameAnswer() async throws {
        try await TestServer().run { client in
            let body: JSONValue = [
                "inputs": "every slot", "parameters": ["max_new_tokens": 20, "ignore_eos": true],
            ]
            let whole = try await client.post("/generate", body).json["generated_text"]?.array?[0].string
            let (status, text) = try await client.postText("/generate_stream", body.serialized)
            #expect(status == .ok && text.hasPrefix("data:{") && !text.contains("[DONE]"))
            let parts = try events(text)
            #expect(parts.count == 20)
            #expect(parts.compactMap { $0["token"]?["text"]?.string }.joined() == whole)
            #expect(parts.map { $0["finished"]?.bool } == Array(repeating: false, count: 19) + [true])
            #expect(parts.last?["finish_reason"]?.string == "length")
            let root = try await client.postText(
                "/", #"{"inputs":"every slot","parameters":{"max_new_tokens":2},"stream":true}"#)
            #expect(root.text.hasPrefix("data:{"))
        }
    }

    @Test func severalAnswersAndTokenPrompts() async throws {
        try await TestServer().run { client in
            let (_, json) = try await client.post(
                "/generate",
                [
                    "inputs": [5, 6, 7],
                    "parameters": ["n": 3, "best_of": 3, "do_sample": true, "seed": 4, "max_new_tokens": 5],
                ])
            #expect(json["generated_text"]?.array?.count == 3 && json["finish_reason"]?.array?.count == 3)
            #expect(json["prompt_tokens"]?.int == 3)
            #expect(
                try await client.post("/generate", ["inputs": "x"]).json["count_output_tokens"]?.int ?? 0
                    <= 16)
        }
    }

    static let refused: [(JSONValue, String)] = [
        ([:], "inputs is missing"), (["inputs": nil], "inputs is missing"), (["inputs": 5], "inputs must be"),
        (["inputs": ["a"]], "inputs must be"), (["inputs": []], "the prompt is empty"),
        (["inputs": [99_999]], "outside the vocabulary"),
        (["inputs": [-1]], "outside the vocabulary"),
        (["inputs": "x", "parameters": 7], "parameters must be an object"),
        (["inputs": "x", "parameters": ["max_new_tokens": 0]], "max_new_tokens must be at least 1"),
        (["inputs": "x", "parameters": ["max_new_tokens": 1e300]], "max_new_tokens must be an integer"),
        (["inputs": "x", "parameters": ["max_new_tokens": 9_000_000_000_000_000_000]], "max_new_tokens"),
        (["inputs": "x", "parameters": ["n": 2]], "n == best_of"),
        (["inputs": "x", "parameters": ["best_of": 9]], "best_of"),
        (["inputs": "x", "parameters": ["do_sample": true, "top_p": 0]], "top_p must in (0.0, 1.0]"),
        (["inputs": "x", "parameters": ["do_sample": true, "top_k": 0]], "top_k must be -1"),
        (["inputs": "x", "parameters": ["do_sample": true, "temperature": -1]], "temperature must > 0.0"),
        (["inputs": "x", "parameters": ["repetition_penalty": 0.5]], "repetition_penalty must >= 1"),
        (["inputs": "x", "parameters": ["do_sample": "yes"]], "do_sample must be true or false"),
        (["inputs": "x", "parameters": ["stop_sequences": 5]], "stop_sequences"),
        (
            ["inputs": "x", "parameters": ["exponential_decay_length_penalty": [1]]],
            "exponential_decay_length_penalty"
        ),
        (["inputs": "x", "parameters": ["regular_constraint": "a["]], "regex, offset 2"),
        (
            ["inputs": "x", "multimodal_params": ["images": [["type": "url", "data": "y"]]]],
            "multimodal_params.images: this model reads text only"
        ),
        (["inputs": "x", "parameters": ["min_new_tokens": 30]], "min_new_tokens"),
    ]

    @Test func refusesBadRequestsAndGoesOn() async throws {
        try await TestServer().run { client in
            for (body, message) in Self.refused {
                for path in ["/generate", "/generate_stream"] {
                    let (status, json) = try await client.post(path, body)
                    #expect(status == .badRequest, "\(body.serialized)")
                    #expect(json["message"]?.string?.contains(message) == true, "\(json.serialized)")
                    #expect(json["error"]?["message"] == json["message"])
                }
            }
            for text in [
                "", "{", "[]", "null", "\u{0}", "{\"inputs\":\"\\ud800",
                String(repeating: "[", count: 100_000),
            ] {
                #expect(try await client.postText("/generate", text).status == .badRequest)
            }
            #expect(try await client.post("/generate", ["inputs": "x"]).status == .ok)
        }
    }

    @Test func reportsFieldsThatNothingUnderstands() async throws {
        try await TestServer().run { client in
            try await client.execute(
                uri: "/generate", method: .post, headers: [:],
                body: .init(string: #"{"inputs":"x","odd":1,"parameters":{"strange":2,"max_new_tokens":1}}"#)
            ) { response in
                #expect(response.status == .ok)
                #expect(response.headers[.init("x-ignored-fields")!] == "odd, parameters.strange")
            }
        }
    }

    /// A stop text ends the work, not only the answer.
    @Test func stopTextsStopTheEngine() async throws {
        let server = try TestServer(slots: 130_000, longest: 60_000)
        try await server.run { client in
            let body: JSONValue = [
                "prompt": "the slots", "max_tokens": 59_000, "ignore_eos": true, "temperature": 0,
                "stop": ["a", "e", "t", "s"],
            ]
            let (_, json) = try await client.post("/v1/completions", body)
            #expect(json["choices"]?.array?[0]["finish_reason"]?.string == "stop")
            #expect(json["usage"]?["completion_tokens"]?.int ?? 200 < 100)
        }
        #expect(server.generator.engine.statistics.cancelledRequests == 1)
        #expect(server.generator.engine.statistics.finishedRequests == 0)
    }

    private func takeOne(_ stream: TextStream) async { for await _ in stream { return } }

    /// So it does for whoever keeps the stream.
    @Test func aKeptStreamKeepsNoRequest() async throws {
        let server = try TestServer(slots: 130_000, longest: 60_000)
        var request = TextRequest(prompt: .text("the slots"), maxNewTokens: 59_000)
        (request.ignoresEndTokens, request.stopTexts) = (true, ["a", "e", "t", "s"])
        let stopped = try server.generator.generate(request)
        for await _ in stopped {}
        request.stopTexts = []
        let left = try server.generator.generate(request)
        await takeOne(left)
        for _ in 0..<5000 where server.generator.engine.statistics.cancelledRequests < 2 {
            try await Task.sleep(for: .milliseconds(2))
        }
        #expect(server.generator.engine.statistics.cancelledRequests == 2)
        withExtendedLifetime((stopped, left)) {}
    }

    @Test func stopsAtTextAndTokens() async throws {
        try await TestServer().run { client in
            let body: JSONValue.Members = ["max_new_tokens": 40, "ignore_eos": true, "return_details": true]
            let (_, whole) = try await client.post(
                "/generate", ["inputs": "the slots", "parameters": .object(body)])
            let tokens = whole["tokens"]?.array ?? []
            let text = whole["generated_text"]?.array?[0].string ?? ""
            let stop = String(text.unicodeScalars.dropFirst(6).prefix(3))
            var parameters = body
            parameters["stop_sequences"] = .array([.string(stop)])
            let (_, cut) = try await client.post(
                "/generate", ["inputs": "the slots", "parameters": .object(parameters)])
            let result = cut["generated_text"]?.array?[0].string ?? ""
            // The stop itself stays, and whatever else its last token holds.
            #expect(text.hasPrefix(result) && result.contains(stop) && cut["finish_reason"]?.string == "stop")
            parameters["stop_sequences"] = .array([.array([tokens[3]["id"] ?? .null])])
            let (_, byToken) = try await client.post(
                "/generate", ["inputs": "the slots", "parameters": .object(parameters)])
            let first = tokens.firstIndex { $0["id"] == tokens[3]["id"] } ?? 0
            #expect(
                byToken["count_output_tokens"]?.int == first + 1 && byToken["finish_reason"]?.string == "stop"
            )
        }
    }
}
