import Foundation
import Layers
import LightLLM
import Scheduling
import Serving
import Tensors
import Testing

/// An answer never depends on who shares the batch or on how its prompt was cut.
@Suite struct InvarianceTests {
    /// The recorded models, and the real one if it is there.
    static let paths = ModelGoldenTests.names.map { Goldens.path("models", $0) } + RealModel.paths

    private func engine(_ model: LoadedModel, tokensPerStep: Int, element: CacheElement) throws -> Engine {
        var options = EngineOptions()
        (options.cacheElement, options.maxTotalTokens, options.maxRequestTokens) = (element, 16_384, 512)
        options.limits = SchedulerLimits(runningSequences: 64, tokensPerStep: tokensPerStep)
        options.limits.scoredTokensPerStep = min(tokensPerStep, 32)
        return try model.makeEngine(options)
    }

    private func request(_ number: Int, _ vocabulary: Int) -> GenerationRequest {
        let prompt = (0..<40 + 3 * (number % 9)).map { Int32((number * 7919 + $0 * 104_729) % vocabulary) }
        var request = GenerationRequest(prompt: prompt, maxNewTokens: 12 + number % 5)
        (request.scoresPrompt, request.ignoresEndTokens) = (number % 3 == 0, true)
        request.topLogProbabilities = number % 2 == 0 ? 3 : 0
        if number % 4 == 1 { (request.sampling.temperature, request.sampling.seed) = (0.9, UInt64(number)) }
        return request
    }

    @Test(arguments: paths)
    func sameBitsAloneAmongOthersAndInChunks(_ path: String) async throws {
        let model = try LoadedModel(path: path)
        guard model.network.output == .logits else { return }
        for element in [CacheElement.float32, .float16, .int8] {
            let alone = try engine(model, tokensPerStep: 512, element: element)
            let requests = (0..<32).map { request($0, alone.vocabularySize) }
            let expected = try await [Scored(alone, requests[0]), Scored(alone, requests[1])]
            let together = try await withThrowingTaskGroup(of: (Int, Scored).self) { group in
                let shared = try engine(model, tokensPerStep: 512, element: element)
                for (index, request) in requests.enumerated() {
                    group.addTask { (index, try await Scored(shared, request)) }
                }
                var results: [Int: Scored] = [:]
                for try await (index, scored) in group { results[index] = scored }
                #expect(shared.statistics.freeSlots == shared.statistics.totalSlots)
                return results
            }
            let chunked = try engine(model, tokensPerStep: 7, element: element)
            for index in 0..<2 {
                #expect(together[index] == expected[index], "\(path): request \(index) among 31 others")
                let cut = try await Scored(chunked, requests[index])
                #expect(cut == expected[index], "\(path): request \(index) in chunks of 7")
            }
        }
    }
}
