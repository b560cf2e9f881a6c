import Scheduling
import Serving
import Tensors
import Testing

/// Lets only every third token come next, counted from a place that moves with every token; a state that is lost
/// or mixed up shows.
private struct MovingThirds: TokenConstraint {
    var taken = 0
    var last: Int
    var failsAfter = Int.max

    func allowedTokens() throws -> [UInt64]? {
        guard taken < failsAfter else { throw RequestError.constraintFailed("enough") }
        return [(0..<31).reduce(0) { ($1 + taken).isMultiple(of: 3) ? $0 | 1 << UInt64($1) : $0 }]
    }

    mutating func advance(with token: Int32) throws {
        guard (Int(token) + taken).isMultiple(of: 3) else { throw RequestError.constraintFailed("\(token)") }
        taken += 1
    }

    var mustEnd: Bool { taken == last }
}

@Suite struct ConstraintTests {
    private func request(_ number: Int, last: Int) -> GenerationRequest {
        let prompt = (0...number % 13).map { Int32(($0 * 7 + number) % 31) }
        var request = GenerationRequest(prompt: prompt, maxNewTokens: 40)
        request.constraint = MovingThirds(last: last)
        if number % 2 == 0 {
            (request.sampling.temperature, request.sampling.seed) = (2, UInt64(number))
        }
        return request
    }

    /// Slots for few, so that answers wait and are paused in the middle, and their prompts come in parts.
    @Test func stateSurvivesBatchingChunkingAndPausing() async throws {
        let alone = try makeEngine()
        var expected: [[Int32]] = []
        for number in 0..<24 {
            let (tokens, finish) = try await answer(alone, request(number, last: 5 + number))
            #expect(tokens.count == 5 + number && finish == .stop)
            expected.append(tokens)
        }
        var configuration = EngineConfiguration(
            slots: 60, cacheElement: .float32,
            limits: SchedulerLimits(runningSequences: 16, tokensPerStep: 5),
            maxRequestTokens: 60)
        configuration.policy = AggressivePolicy(ratio: 0.99, newTokens: 1)
        let crowded = try makeEngine(configuration)
        let streams = try crowded.submit((0..<24).map { request($0, last: 5 + $0) })
        for (number, stream) in streams.enumerated() {
            var tokens: [Int32] = []
            for await case .token(let token, _) in stream { tokens.append(token.token) }
            #expect(tokens == expected[number])
        }
        #expect(crowded.statistics.pauses > 0)
        #expect(crowded.statistics.freeSlots == 60)
    }

    /// Configurations name end tokens that no vocabulary has.
    @Test func impossibleEndTokensAreNoEnd() async throws {
        let engine = try makeEngine()
        var odd = request(3, last: 6)
        (odd.endTokens, odd.sampling.minNewTokens) = ([-1, .max, .min], 4)
        #expect(try await answer(engine, odd).tokens.count == 6)
    }

    @Test func failingEndsTheRequestAlone() async throws {
        let engine = try makeEngine()
        var failing = request(0, last: 30)
        failing.constraint = MovingThirds(last: 30, failsAfter: 4)
        async let other = answer(engine, request(1, last: 20))
        var (tokens, failure): (Int, RequestError?) = (0, nil)
        for await event in try engine.submit(failing) {
            if case .token = event { tokens += 1 }
            if case .failed(let error) = event { failure = error }
        }
        #expect(tokens == 4 && failure != nil)
        #expect(try await other.tokens.count == 20)
        try await settle(engine)
        #expect(engine.statistics.failedRequests == 1)
        #expect(engine.statistics.freeSlots == engine.statistics.totalSlots)
    }
}
