import CPUBackend
import Foundation
import JSON
import LightLLM
import Ranks
import Scheduling
import Serving
import Tensors
import Testing
import Weights

/// What is true of shared-out models beside that they compute what the whole one does.
@Suite struct SplitWeightTests {
    private func request(_ number: Int, _ vocabulary: Int) -> GenerationRequest {
        let prompt = (0..<40 + 3 * (number % 9)).map { Int32((number * 7919 + $0 * 104_729) % vocabulary) }
        var request = GenerationRequest(prompt: prompt, maxNewTokens: 8 + number % 5)
        (request.scoresPrompt, request.ignoresEndTokens) = (number % 3 == 0, true)
        if number % 4 == 1 { (request.sampling.temperature, request.sampling.seed) = (0.9, UInt64(number)) }
        return request
    }

    private func options(tokensPerStep: Int) -> EngineOptions {
        var options = EngineOptions()
        (options.cacheElement, options.maxTotalTokens, options.maxRequestTokens) = (.float16, 8192, 512)
        options.limits = SchedulerLimits(runningSequences: 64, tokensPerStep: tokensPerStep)
        options.limits.scoredTokensPerStep = min(tokensPerStep, 32)
        return options
    }

    static let some = ModelGoldenTests.names.filter { name in
        ["llama", "bloom", "mixtral"].contains { name.contains($0) }
    }

    /// Bits depend on the number of ranks, and neither on the batch nor on how prompts are cut.
    @Test(arguments: some)
    func sameBitsAloneAmongOthersAndInChunks(_ name: String) async throws {
        let split = SplitModel(checkpoint: try openCheckpoint(Goldens.path("models", name)), size: 2)
        let alone = try await split.run(options(tokensPerStep: 512)) { engine in
            try await [
                Scored(engine, request(0, engine.vocabularySize)),
                Scored(engine, request(1, engine.vocabularySize)),
            ]
        }
        let together = try await split.run(options(tokensPerStep: 512)) { engine in
            try await withThrowingTaskGroup(of: (Int, Scored).self) { group in
                for index in 0..<16 {
                    group.addTask { (index, try await Scored(engine, request(index, engine.vocabularySize))) }
                }
                var results: [Int: Scored] = [:]
                for try await (index, scored) in group { results[index] = scored }
                return results
            }
        }
        let chunked = try await split.run(options(tokensPerStep: 7)) { engine in
            try await [
                Scored(engine, request(0, engine.vocabularySize)),
                Scored(engine, request(1, engine.vocabularySize)),
            ]
        }
        for index in 0..<2 {
            #expect(together[index] == alone[index], "request \(index) among 15 others")
            #expect(chunked[index] == alone[index], "request \(index) in chunks of 7")
        }
    }

    private static let packed = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().appendingPathComponent("Fixtures/packed").path
    private static let ids: [Int32] = [1, 17, 4, 59, 33, 8, 25, 41, 12, 50, 3, 28]

    /// Weights of few bits are cut at the bounds of their blocks, so ranks compute with the same numbers.
    @Test(
        arguments: [("gptq", nil), ("awq", nil), ("plain", .int8), ("plain", .int4)]
            as [(String, WeightFormat?)])
    func quantizedWeightsAreCutBetweenBlocks(_ name: String, _ format: WeightFormat?) async throws {
        let checkpoint = try openCheckpoint(Self.packed + "/" + name)
        let whole = try LoadedModel(
            checkpoint: checkpoint, backend: CPUBackend(threads: 1), weightFormat: format)
        let expected = try await Scored(
            whole.makeScoringEngine(tokens: Self.ids.count + 4), Self.ids, maxNewTokens: 4)
        let split = SplitModel(checkpoint: checkpoint, size: 2, weightFormat: format)
        var options = EngineOptions()
        options.cacheElement = .float32
        (options.maxTotalTokens, options.maxRequestTokens) = (Self.ids.count + 4, Self.ids.count + 4)
        let scored = try await split.run(options) { try await Scored($0, Self.ids, maxNewTokens: 4) }
        #expect(scored.ids == expected.ids)
        #expect(largestDifference(scored.logits, expected.logits) < 1e-3)
    }

    @Test(arguments: GGUFModelTests.names, [2])
    func filesOfLlamaCppAreCutToo(_ name: String, ranks: Int) async throws {
        let path = GGUFModelTests.folder.appendingPathComponent(name + ".gguf").path
        let whole = try LoadedModel(checkpoint: openCheckpoint(path), backend: CPUBackend(threads: 1))
        let expected = try await Scored(
            whole.makeScoringEngine(tokens: Self.ids.count + 4), Self.ids, maxNewTokens: 4)
        let split = SplitModel(checkpoint: try openCheckpoint(path), size: ranks)
        var options = EngineOptions()
        options.cacheElement = .float32
        (options.maxTotalTokens, options.maxRequestTokens) = (Self.ids.count + 4, Self.ids.count + 4)
        let scored = try await split.run(options) { try await Scored($0, Self.ids, maxNewTokens: 4) }
        #expect(scored.ids == expected.ids)
        #expect(largestDifference(scored.logits, expected.logits) < 1e-3)
    }

    /// A rank holds its part of the weights, and what is planned is what it holds.
    @Test(arguments: RealModel.paths, [2, 4])
    func ranksHoldTheirPart(_ path: String, ranks: Int) throws {
        let checkpoint = try openCheckpoint(path)
        func weights(_ shard: Shard) throws -> Int {
            var options = EngineOptions()
            (options.threads, options.shard) = (1, shard)
            return try MemoryPlan(checkpoint, options, available: 1 << 40).weights
        }
        let whole = try weights(.whole)
        for index in 0..<ranks {
            let part = try weights(Shard(index: index, of: ranks))
            #expect(
                Double(part) <= 1.05 * Double(whole) / Double(ranks), "rank \(index): \(part) of \(whole)")
        }
    }

    /// Too many ranks are refused, with the numbers.
    @Test func whatCannotBeCutIsRefused() throws {
        let checkpoint = try openCheckpoint(
            Goldens.path("models", try #require(ModelGoldenTests.names.first { $0.contains("llama") })))
        var options = EngineOptions()
        options.shard = Shard(index: 0, of: 8)
        #expect(throws: SplitError.tooFew("query heads", 4, parts: 8)) {
            try MemoryPlan(checkpoint, options, available: 1 << 40)
        }
    }

    /// A rank that is gone ends what runs with an error, and nobody waits.
    @Test func aLostRankEndsRequestsWithAnError() async throws {
        let name = try #require(ModelGoldenTests.names.first { $0.contains("llama") })
        let groups = RankGroup.threads(2)
        let split = SplitModel(
            checkpoint: try openCheckpoint(Goldens.path("models", name)), size: 2, groups: groups)
        await #expect(throws: GroupFailure.lost(rank: 1, "a test")) {
            try await split.run(options(tokensPerStep: 64)) { engine in
                var request = GenerationRequest(prompt: [1, 2, 3], maxNewTokens: 400)
                request.ignoresEndTokens = true
                // More than is done before the next line.
                let streams = try engine.submit(Array(repeating: request, count: 20))
                groups[0].health.fail(.lost(rank: 1, "a test"))
                let expected = RequestError.engineFailed("rank 1 is gone: a test")
                for stream in streams {
                    var failure: RequestError?
                    for await case .failed(let error) in stream { failure = error }
                    #expect(failure == expected)
                }
                #expect(engine.statistics.failure == expected)
                #expect(throws: expected) { try engine.submit(request) }
            }
        }
    }
}
