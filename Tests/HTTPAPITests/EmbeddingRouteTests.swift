import Foundation
import HTTPTypes
import HummingbirdTesting
import JSON
import Layers
import LightLLM
import OrderedCollections
import Testing

@testable import HTTPAPI

@Suite struct EmbeddingRouteTests {
    private func server() throws -> TestServer {
        var options = TextOptions()
        (options.engine.maxTotalTokens, options.engine.maxRequestTokens, options.engine.threads) = (
            4096, 256, 2
        )
        options.engine.head = .none
        return TestServer(try LoadedTextModel(path: TestServer.modelPath, options: options).generator)
    }

    @Test func answersAsOpenAIDoes() async throws {
        try await server().run { client in
            let (status, json) = try await client.post(
                "/v1/embeddings",
                ["model": "any", "input": ["the slots", "every token", "the slots"], "user": "u"])
            #expect(status == .ok && json["object"]?.string == "list" && json["model"]?.string == "any")
            let data = json["data"]?.array ?? []
            #expect(data.map { $0["index"]?.int } == [0, 1, 2])
            let vectors = data.map {
                ($0["embedding"]?.array ?? []).compactMap { $0.double.map { Float($0) } }
            }
            #expect(vectors.allSatisfy { $0.count == 32 })
            #expect(vectors[0] == vectors[2] && vectors[0] != vectors[1])
            #expect(abs(vectors[0].reduce(0) { $0 + $1 * $1 } - 1) < 1e-5)
            let tokens = try await client.post("/tokens", ["text": "the slots"]).json["ntokens"]?.int ?? 0
            let other = try await client.post("/tokens", ["text": "every token"]).json["ntokens"]?.int ?? 0
            #expect(
                json["usage"] == [
                    "prompt_tokens": .integer(2 * tokens + other),
                    "total_tokens": .integer(2 * tokens + other),
                ])

            let encoded = try await client.post(
                "/v1/embeddings", ["input": "the slots", "encoding_format": "base64"]
            ).json["data"]?.array?[0]["embedding"]?.string
            let bytes = Array(Data(base64Encoded: encoded ?? "") ?? Data())
            let decoded = stride(from: 0, to: bytes.count, by: 4).map { index in
                Float(bitPattern: (0..<4).reduce(0) { $0 | UInt32(bytes[index + $1]) << (8 * UInt32($1)) })
            }
            #expect(decoded == vectors[0])

            let short = try await client.post("/v1/embeddings", ["input": "the slots", "dimensions": 8]).json
            let cut = (short["data"]?.array?[0]["embedding"]?.array ?? []).compactMap(\.double)
            let length = vectors[0].prefix(8).reduce(0) { $0 + $1 * $1 }.squareRoot()
            #expect(cut.count == 8 && abs(Float(cut[3]) - vectors[0][3] / length) < 1e-6)

            let ids = try await client.post("/tokenize", ["prompt": "the slots"]).json["tokens"] ?? .null
            for input: JSONValue in [ids, [ids]] {
                let answer = try await client.post("/v1/embeddings", ["input": input]).json
                #expect(answer["data"]?.array?[0] == data[0])
            }
        }
    }

    @Test func clientsThatLeaveEndTheirWork() async throws {
        let server = try server()
        try await server.run { client in
            let port = try #require(client.port)
            let text = (0..<250).map { "\($0)" }.joined(separator: ",")
            let body =
                "{\"input\":[" + (0..<500).map { "[\($0 % 300),\(text)]" }.joined(separator: ",") + "]}"
            for _ in 0..<4 { try leave(port: port, path: "/v1/embeddings", body: body) }
            for _ in 0..<1000 where server.generator.engine.statistics.cancelledRequests < 100 {
                try await Task.sleep(for: .milliseconds(10))
            }
            #expect(server.generator.engine.statistics.cancelledRequests >= 100)
        }
    }

    @Test func refusesWhatItCannotDo() async throws {
        try await server().run { client in
            let most: JSONValue = .array(Array(repeating: "a", count: 2049))
            for (body, message) in [
                ([:], "input is missing"), (["input": []], "input is empty"), (["input": 5], "input must be"),
                (["input": ["a", 1]], "input must be"), (["input": [[1], "a"]], "input must be"),
                (["input": [[]]], "the prompt is empty"), (["input": [99_999]], "outside the vocabulary"),
                (["input": most], "2048 texts at most"),
                (["input": .array((0..<300).map { .integer($0) })], "> 256"),
                (["input": "a", "dimensions": 33], "dimensions must be between 1 and 32"),
                (["input": "a", "dimensions": 0], "dimensions"),
                (["input": "a", "encoding_format": "int8"], "encoding_format must be float or base64"),
                (["input": "a", "truncate_prompt_tokens": 4], "truncate_prompt_tokens"),
            ] as [(JSONValue, String)] {
                let (status, json) = try await client.post("/v1/embeddings", body)
                #expect(status == .badRequest)
                #expect(
                    json["error"]?["message"]?.string?.contains(message) == true,
                    "\(json.serialized) for \(message)")
            }
            for (path, body) in [
                ("/generate", ["inputs": "x"]), ("/v1/completions", ["prompt": "x"]),
                ("/get_score", ["chat": "x"]),
                ("/v1/chat/completions", ["messages": [["role": "user", "content": "x"]]]),
            ] as [(String, JSONValue)] {
                #expect(try await client.post(path, body).status == .badRequest, "\(path)")
            }
            #expect(try await client.get("/health").status == .ok)
        }
        try await TestServer().run { client in
            let (status, json) = try await client.post("/v1/embeddings", ["input": "x"])
            #expect(status == .badRequest)
            #expect(json["error"]?["message"]?.string?.contains("--embedding") == true)
        }
    }
}
