import HTTPTypes
import Hummingbird
import HummingbirdTesting
import JSON
import NIOCore
import OrderedCollections
import Serving
import Testing
import TextGeneration

@testable import HTTPAPI

@Suite struct TruncationTests {
    private static let tokens = JSONValue.array((0..<300).map { .integer(5 + $0 % 50) })

    private func server(_ truncation: PromptTruncation) throws -> TestServer {
        var generator = try TestServer().generator
        generator.truncation = truncation
        return TestServer(generator)
    }

    private func prompt(_ client: any TestClientProtocol, _ path: String, _ body: JSONValue) async throws -> (
        tokens: Int?, truncated: String?, message: String
    ) {
        try await client.execute(uri: path, method: .post, body: ByteBuffer(string: body.serialized)) {
            response in
            let json = try JSONValue(parsing: String(buffer: response.body))
            return (
                json["prompt_tokens"]?.int ?? json["usage"]?["prompt_tokens"]?.int,
                HTTPField.Name("x-truncated-tokens").flatMap { response.headers[$0] },
                json["error"]?["message"]?.string ?? ""
            )
        }
    }

    private static let native: JSONValue = [
        "inputs": tokens, "parameters": ["max_new_tokens": 6, "ignore_eos": true],
    ]
    private static let completion: JSONValue = ["prompt": tokens, "max_tokens": 6, "n": 2, "seed": 1]

    @Test func everyRouteShortensAlike() async throws {
        for mode in PromptTruncation.Mode.allCases {
            try await server(PromptTruncation(mode: mode)).run { client in
                for (path, body) in [("/generate", Self.native), ("/v1/completions", Self.completion)] {
                    let answer = try await prompt(client, path, body)
                    #expect(answer.tokens == 250 && answer.truncated == "50", "\(path) \(answer)")
                }
                let chat: JSONValue = [
                    "messages": [
                        ["role": "user", "content": .string(String(repeating: "word ", count: 400))]
                    ],
                    "max_tokens": 6,
                ]
                #expect(try await prompt(client, "/v1/chat/completions", chat).tokens == 250)
                let short = try await prompt(client, "/v1/completions", ["prompt": "a", "max_tokens": 1])
                #expect(short.truncated == nil)
            }
        }
    }

    @Test func streamsSayItToo() async throws {
        try await server(PromptTruncation(mode: .head)).run { client in
            try await client.execute(
                uri: "/generate_stream", method: .post, body: ByteBuffer(string: Self.native.serialized)
            ) { response in
                #expect(HTTPField.Name("x-truncated-tokens").flatMap { response.headers[$0] } == "50")
                let first = try events(String(buffer: response.body))[0]
                #expect(first["token"]?["prompt_tokens"]?.int == 250)
            }
        }
    }

    /// What is left gives the answer that it gives alone.
    @Test func answersAreThoseOfWhatIsLeft() async throws {
        try await server(PromptTruncation(mode: .center)).run { client in
            let all = (0..<300).map { JSONValue.integer(5 + $0 % 50) }
            let left = JSONValue.array(Array(all[..<125] + all[175...]))
            let whole = try await client.post("/generate", Self.native).json
            let part = try await client.post(
                "/generate", ["inputs": left, "parameters": ["max_new_tokens": 6, "ignore_eos": true]]
            ).json
            #expect(whole == part)
        }
    }

    @Test func limitOfInputsHolds() async throws {
        try await server(PromptTruncation(mode: .head, maxInputTokens: 40)).run { client in
            let answer = try await prompt(client, "/generate", Self.native)
            #expect(answer.tokens == 40 && answer.truncated == "260")
        }
        try await server(PromptTruncation(maxInputTokens: 40)).run { client in
            let refusal = try await prompt(client, "/generate", Self.native)
            #expect(refusal.message == "the input prompt token len 300 is too long > 40")
        }
        try await server(PromptTruncation(mode: .head)).run { client in
            let long: JSONValue = ["inputs": Self.tokens, "parameters": ["max_new_tokens": 256]]
            let refusal = try await prompt(client, "/generate", long)
            #expect(
                refusal.message
                    == "the req total len (input len + output len) is too long > max_req_total_len:256")
        }
    }

    @Test func requestsSayWhatIsLeft() async throws {
        try await TestServer().run { client in
            func answer(_ count: JSONValue, _ more: JSONValue.Members = [:]) async throws -> (
                tokens: Int?, truncated: String?, message: String
            ) {
                var body = more
                (body["prompt"], body["truncate_prompt_tokens"]) = (Self.tokens, count)
                return try await prompt(client, "/v1/completions", .object(body))
            }
            let five = try await answer(5, ["max_tokens": 2])
            #expect(five.tokens == 5 && five.truncated == "295")
            #expect(try await answer(-1, ["max_tokens": 6]).tokens == 250)
            #expect(try await answer(-1).tokens == 192, "a quarter is left for the answer")
            for bad in [0, -2, 257] as [JSONValue] {
                #expect(
                    try await answer(bad).message.contains(
                        "truncate_prompt_tokens must be -1 or between 1 and 256"))
            }
            #expect(try await prompt(client, "/v1/completions", Self.completion).message.contains("300"))
        }
    }
}
