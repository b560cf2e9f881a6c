import Foundation
import ReferenceBackend
import Tensors
import Testing

@testable import Serving

@Suite struct SamplerTests {
    private let logits: [Float] = [1, 3, 2, -1, 0.5, 2.5, -4, 3]

    private func draws(_ count: Int, _ edit: (inout SamplingParameters) -> Void) -> [Int32: Int] {
        var parameters = SamplingParameters()
        (parameters.temperature, parameters.seed) = (1, 7)
        edit(&parameters)
        var sampler = Sampler(parameters, endTokens: [], prompt: [], vocabularySize: 8)
        var result: [Int32: Int] = [:]
        for _ in 0..<count {
            var values = logits
            result[sampler.sample(&values, top: 0).token, default: 0] += 1
        }
        return result
    }

    @Test func greedyTakesTheFirstOfTheLikeliest() {
        #expect(draws(5) { $0.temperature = nil } == [1: 5])
        #expect(draws(5) { $0.topK = 1 } == [1: 5])
    }

    @Test func drawsInProportion() {
        let counts = draws(20_000) { _ in }
        let total = logits.reduce(0) { $0 + exp(Double($1)) }
        for (token, logit) in logits.enumerated() {
            let expected = exp(Double(logit)) / total
            #expect(abs(Double(counts[Int32(token)] ?? 0) / 20_000 - expected) < 0.015)
        }
    }

    @Test func cutsTheTail() {
        #expect(Set(draws(2000) { $0.topK = 3 }.keys) == [1, 7, 5])
        // The two likeliest have 0.30 each, the third 0.18.
        #expect(Set(draws(2000) { $0.topP = 0.55 }.keys) == [1, 7])
        #expect(Set(draws(2000) { $0.topP = 0.65 }.keys) == [1, 7, 5])
        #expect(Set(draws(2000) { $0.minP = 0.5 }.keys) == [1, 7, 5])
        #expect(Set(draws(2000) { $0.topP = 1e-6 }.keys) == [1])
    }

    @Test func seedsRepeat() {
        func run(_ seed: UInt64) -> [Int32] {
            var parameters = SamplingParameters()
            (parameters.temperature, parameters.seed) = (1.3, seed)
            var sampler = Sampler(parameters, endTokens: [], prompt: [], vocabularySize: 8)
            return (0..<50).map { _ in
                var values = logits
                return sampler.sample(&values, top: 0).token
            }
        }
        #expect(run(1) == run(1) && run(1) != run(2))
    }

    @Test func penaltiesFollowTheFormula() {
        var parameters = SamplingParameters()
        (parameters.repetitionPenalty, parameters.frequencyPenalty, parameters.presencePenalty) = (
            2, 0.25, 0.5
        )
        (parameters.penalizesPrompt, parameters.logitBias) = (true, [0: 10, 99: 5])
        var sampler = Sampler(parameters, endTokens: [], prompt: [1, 1, 3, 200], vocabularySize: 8)
        var values = logits
        let token = sampler.sample(&values, top: 8)
        #expect(values[0] == 11 && values[1] == 3 / 2 - 0.5 - 0.5 && values[3] == -1 * 2 - 0.25 - 0.5)
        #expect(token.token == 0 && token.top.map(\.token) == [0, 7, 5, 2, 1, 4, 3, 6])
    }

    @Test func endTokensWaitForTheirTime() {
        var parameters = SamplingParameters()
        parameters.minNewTokens = 3
        var sampler = Sampler(parameters, endTokens: [1, 7], prompt: [], vocabularySize: 8)
        let tokens = (0..<4).map { _ in
            var values = logits
            return sampler.sample(&values, top: 0).token
        }
        #expect(tokens == [5, 5, 1, 1])
        (parameters.minNewTokens, parameters.lengthPenalty) = (1, .init(start: 1, factor: 4))
        sampler = Sampler(parameters, endTokens: [2], prompt: [], vocabularySize: 8)
        let growing = (0..<4).map { _ in
            var values = logits
            return sampler.sample(&values, top: 0).token
        }
        // 2 + |2| (4^n - 1) passes 3 once n is 1, which is two tokens after the start.
        #expect(growing == [1, 1, 2, 2])
    }
}

extension Sampler {
    /// Chooses from `logits`, which it edits, and reports the `top` likeliest tokens beside.
    mutating func sample(_ logits: inout [Float], top: Int) -> ScoredToken {
        let backend = ReferenceBackend()
        let matrix = backend.makeMatrix(rows: 1, columns: logits.count)
        matrix[0] = logits
        var answers: [LogitAnswer] = []
        do {
            backend.answer([try ask(row: 0, top: top)], on: matrix, into: &answers)
            logits = matrix[0]
            return try take(answers[0])
        } catch {
            Issue.record(error)
            return ScoredToken(token: -1, logProbability: nil)
        }
    }
}
