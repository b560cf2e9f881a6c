import Foundation
import HTTPTypes
import HummingbirdTesting
import JSON
import LightLLM
import OrderedCollections
import Serving
import Testing
import TextGeneration

@testable import HTTPAPI

@Suite struct GroupModeTests {
    /// Log probabilities of every token after `prompt`.
    private func scores(_ generator: TextGenerator, _ prompt: [Int32]) async throws -> [Double] {
        var request = GenerationRequest(prompt: prompt, maxNewTokens: 1)
        request.reportsLogits = true
        var logits: [Double] = []
        for await event in try generator.engine.submit(request) {
            if case .logits(let values) = event { logits = values.map(Double.init) }
        }
        let most = logits.max() ?? 0
        let total = logits.reduce(0) { $0 + exp($1 - most) }
        return logits.map { $0 - most - log(total) }
    }

    /// As wide as the vocabulary a search for two tokens looks at all answers.
    @Test func findsTheLikeliestAnswers() async throws {
        let server = try TestServer()
        let generator = server.generator
        let prompt: [Int32] = [5, 6, 7]
        var request = TextRequest(prompt: .tokens(prompt), maxNewTokens: 2)
        request.ignoresEndTokens = true
        let first = try await scores(generator, prompt)
        var all: [(tokens: [Int32], score: Double)] = []
        for token in first.indices {
            let second = try await scores(generator, prompt + [Int32(token)])
            all += second.indices.map { ([Int32(token), Int32($0)], (first[token] + second[$0]) / 2) }
        }
        all.sort { $0.score > $1.score }
        var search = BeamSearch(request, prompt: prompt, width: first.count, generator)
        var steps = 0
        while case let requests = search.requests, !requests.isEmpty {
            var candidates: [[TokenScore]] = []
            for request in requests {
                for await event in try generator.generate(request) {
                    if case .chunk(let chunk) = event { candidates.append(chunk.token.top) }
                }
            }
            search.advance(candidates)
            steps += 1
        }
        #expect(steps == 2 && search.results.count == first.count)
        let best = try #require(search.results.last)
        #expect(best.chunks.map(\.token.token) == all[0].tokens && abs(best.score - all[0].score) < 1e-4)
        for (result, expected) in zip(search.results.reversed().prefix(20), all) {
            #expect(abs(result.score - expected.score) < 1e-4)
        }
    }

    @Test func answersWithBeams() async throws {
        try await TestServer().run({ $0.native.group = .beam }) { client in
            let body: JSONValue = [
                "inputs": "the slots",
                "parameters": [
                    "best_of": 4, "max_new_tokens": 6, "ignore_eos": true, "return_details": true,
                ],
            ]
            let (status, json) = try await client.post("/generate", body)
            #expect(status == .ok && json["generated_text"]?.array?.count == 4)
            func mean(_ tokens: JSONValue) -> Double {
                let scores = (tokens.array ?? []).compactMap { $0["logprob"]?.double }
                return scores.reduce(0, +) / Double(scores.count)
            }
            let means = (json["tokens"]?.array ?? []).map(mean)
            // The likeliest is last, and no less likely than what is likeliest at every step.
            #expect(means == means.sorted())
            let greedy = try await client.post(
                "/generate",
                [
                    "inputs": "the slots",
                    "parameters": ["max_new_tokens": 6, "ignore_eos": true, "return_details": true],
                ])
            #expect((means.last ?? -.infinity) >= mean(greedy.json["tokens"] ?? .null) - 1e-5)
            #expect(Set(json["generated_text"]?.array?.compactMap(\.string) ?? []).count == 4)
            #expect(try await client.post("/generate", body).json == json)
            for parameters: JSONValue in [
                ["best_of": 2, "repetition_penalty": 1.2], ["best_of": 2, "presence_penalty": 1],
                ["best_of": 2, "regular_constraint": "a+"], ["best_of": 2, "max_new_tokens": 300],
            ] {
                let answer = try await client.post("/generate", ["inputs": "x", "parameters": parameters])
                #expect(answer.status == .badRequest)
            }
        }
    }

    @Test func healsTheEndsOfPrompts() async throws {
        let server = try TestServer()
        let tokenizer = server.generator.tokenizer
        // Cut in the middle of what would be fewer tokens.
        let text = "the tok"
        let whole = try tokenizer.encode(text)
        try await server.run({ $0.native.group = .tokenHealing }) { client in
            let parameters: JSONValue = ["max_new_tokens": 8, "ignore_eos": true, "return_details": true]
            let (status, json) = try await client.post(
                "/generate", ["inputs": .string(text), "parameters": parameters])
            #expect(status == .ok)
            let dropped = whole.count - (json["prompt_tokens"]?.int ?? 0)
            #expect((1...2).contains(dropped) && json["count_output_tokens"]?.int == 8 + 6)
            let tokens = json["tokens"]?.array ?? []
            let beginning = tokens.first?["prefix_str"]?.string ?? ""
            #expect(!beginning.isEmpty && text.hasSuffix(beginning))
            let answer = json["generated_text"]?.array?[0].string ?? ""
            #expect(tokens.compactMap { $0["text"]?.string }.joined() == answer)
            // The prompt's own text is not repeated; together they are what the tokens say.
            let ids = tokens.compactMap { $0["id"]?.int.map { Int32($0) } }
            let bytes = ids.filter { !tokenizer.isSpecial($0) }.flatMap { tokenizer.bytes(of: $0) }
            #expect(String(decoding: bytes, as: UTF8.self).hasPrefix(beginning + answer.prefix(4)))
            let streamed = try events(
                try await client.postText(
                    "/generate_stream",
                    JSONValue.object(["inputs": .string(text), "parameters": parameters]).serialized
                ).text)
            #expect(streamed.compactMap { $0["token"]?["text"]?.string }.joined() == answer)
            // One token alone stays.
            let single = try await client.post("/generate", ["inputs": [5], "parameters": parameters])
            #expect(single.json["prompt_tokens"]?.int == 1)
            let form = try await client.post(
                "/generate", ["inputs": "x", "parameters": ["regular_constraint": "a+"]])
            #expect(form.status == .badRequest)
        }
    }

    @Test func constrainsFirstTokens() async throws {
        let allowed: [Int32] = [40, 41, 100_000]
        try await TestServer().run({ $0.native.group = .firstToken(allowed) }) { client in
            for seed in 0..<8 {
                let json = try await client.post(
                    "/generate",
                    [
                        "inputs": "the slots",
                        "parameters": [
                            "max_new_tokens": 3, "do_sample": true, "temperature": 5, "seed": .integer(seed),
                            "ignore_eos": true, "return_details": true,
                        ],
                    ]
                ).json
                let ids = (json["tokens"]?.array ?? []).compactMap { $0["id"]?.int.map { Int32($0) } }
                #expect(ids.count == 3 && allowed.contains(ids[0]))
            }
            let chat = try await client.post(
                "/v1/completions", ["prompt": "x", "max_tokens": 1, "logprobs": 0, "temperature": 0])
            #expect(chat.status == .ok)
        }
    }

    /// Whatever the vocabulary cuts it into, the text is what answers begin with.
    @Test func beginningsAreSpelledByEveryAllowedToken() throws {
        let generator = try TestServer().generator
        let size = generator.engine.vocabularySize
        for text in ["the", " slots", "é", "tok", "x"] {
            var frontier = [
                try #require(
                    BeginningConstraint(text, tokenizer: generator.tokenizer, vocabularySize: size))
            ]
            var spelled: [[UInt8]] = [[]]
            for _ in 0..<text.utf8.count {
                var (next, nextSpelled): ([BeginningConstraint], [[UInt8]]) = ([], [])
                for (constraint, bytes) in zip(frontier, spelled) {
                    guard let words = try constraint.allowedTokens() else {
                        #expect(bytes.starts(with: text.utf8))
                        continue
                    }
                    let tokens = (0..<size).filter { words[$0 / 64] >> UInt64($0 % 64) & 1 == 1 }
                    #expect(!tokens.isEmpty)
                    for token in tokens {
                        let all = bytes + generator.tokenizer.bytes(of: Int32(token))
                        #expect(all.starts(with: text.utf8) || Array(text.utf8).starts(with: all))
                        var after = constraint
                        try after.advance(with: Int32(token))
                        next.append(after)
                        nextSpelled.append(all)
                    }
                }
                (frontier, spelled) = (next, nextSpelled)
            }
            #expect(try frontier.allSatisfy { try $0.allowedTokens() == nil })
        }
    }
}
