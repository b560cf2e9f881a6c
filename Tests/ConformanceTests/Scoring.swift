import LightLLM
import Serving
import Tensors

/// What an engine reports about one request.
struct Scored: Equatable {
    var prompt: [ScoredToken] = []
    var tokens: [ScoredToken] = []
    var logits: [Float] = []

    /// Scores `ids` and continues them greedily.
    init(_ engine: Engine, _ ids: [Int32], maxNewTokens: Int) async throws {
        var request = GenerationRequest(prompt: ids, maxNewTokens: maxNewTokens)
        (request.scoresPrompt, request.reportsLogits, request.ignoresEndTokens) = (true, true, true)
        try await self.init(engine, request)
    }

    init(_ engine: Engine, _ request: GenerationRequest) async throws {
        for await event in try engine.submit(request) {
            switch event {
            case .started: break
            case .prompt(let tokens): prompt += tokens
            case .logits(let values): logits = values
            case .token(let token, _): tokens.append(token)
            case .failed(let error): throw error
            }
        }
    }

    var ids: [Int32] { tokens.map(\.token) }

    /// ln p of every prompt token but the first.
    var promptLogProbabilities: [Float] { prompt.compactMap(\.logProbability) }
}

extension LoadedModel {
    /// An engine whose cache holds one request of `tokens`.
    func makeScoringEngine(tokens: Int, _ element: CacheElement = .float32) throws -> Engine {
        var options = EngineOptions()
        (options.cacheElement, options.maxTotalTokens, options.maxRequestTokens) = (element, tokens, tokens)
        return try makeEngine(options)
    }
}

/// What is impossible is so by any number below -1e29.
func largestDifference(_ a: [Float], _ b: [Float]) -> Float {
    zip(a, b).map { max($0, $1) < -1e29 ? 0 : abs($0 - $1) }.max() ?? .infinity
}
