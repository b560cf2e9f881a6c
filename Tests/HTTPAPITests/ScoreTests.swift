import Foundation
import HTTPTypes
import Hummingbird
import HummingbirdTesting
import JSON
import LightLLM
import Testing

@Suite struct ScoreTests {
    private static let models = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().appendingPathComponent("Fixtures/goldens/models")

    /// A reward model, whose checkpoint has no tokenizer, with another's.
    private func server(_ name: String) throws -> TestServer {
        var options = EngineOptions()
        (options.maxTotalTokens, options.maxRequestTokens, options.threads) = (1024, 128, 2)
        let model = try LoadedModel(path: Self.models.appendingPathComponent(name).path)
        return TestServer(
            TextGenerator(
                engine: try model.makeEngine(options),
                tokenizer: try tokenizer(ofModelAt: Self.models.appendingPathComponent("tiny_llama").path),
                chatTemplate: nil, endTokens: [], bosToken: nil, eosToken: nil))
    }

    @Test(arguments: ["tiny_qwen2_reward", "tiny_internlm2_reward"])
    func scoresAsRecorded(_ name: String) async throws {
        let data = try Data(contentsOf: Self.models.appendingPathComponent(name + "/golden.json"))
        let prompts = try #require(try JSONValue(parsing: Array(data))["prompts"]?.array)
        try await server(name).run { client in
            for prompt in prompts {
                let ids = try #require(prompt["ids"])
                // Twice: the second finds the first's prompt in the cache.
                for _ in 0..<2 {
                    let (status, json) = try await client.post("/get_score", ["chat": ids])
                    let expected = try #require(prompt["last_logits"]?.array?.first?.double)
                    let score = try #require(json["score"]?.double)
                    #expect(status == .ok && abs(score - expected) < 2e-4)
                    #expect(json["prompt_tokens"]?.int == ids.array?.count && json["finish_reason"] == "stop")
                }
            }
            for body: JSONValue in [[:], ["chat": 3], ["chat": []], ["chat": [1, "a"]]] {
                #expect(try await client.post("/get_score", body).status == .badRequest)
            }
            let (status, json) = try await client.post(
                "/generate", ["inputs": [1, 2, 3], "parameters": ["max_new_tokens": 1]])
            #expect(status == .badRequest && json["message"]?.string?.contains("generates none") == true)
        }
    }

    @Test func modelsThatGenerateScoreNothing() async throws {
        try await TestServer().run { client in
            let (status, json) = try await client.post("/get_score", ["chat": [1, 2, 3]])
            #expect(status == .badRequest && json["message"]?.string?.contains("scores none") == true)
        }
    }
}
