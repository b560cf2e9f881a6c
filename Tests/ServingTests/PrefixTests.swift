import ReferenceBackend
import Scheduling
import Serving
import Tensors
import Testing

/// What requests share of their prompts, and what that must not change.
@Suite struct PrefixTests {
    private func engine(
        slots: Int = 400, longest: Int = 200, policy: any AdmissionPolicy = GuaranteedPolicy(),
        sharesPrefixes: Bool = true,
        limits: SchedulerLimits = SchedulerLimits(runningSequences: 6, tokensPerStep: 11)
    ) throws -> Engine {
        var configuration = EngineConfiguration(
            slots: slots, cacheElement: .float32, limits: limits, maxRequestTokens: longest)
        (configuration.policy, configuration.sharesPrefixes) = (policy, sharesPrefixes)
        return try Engine(model: CountingModel(), backend: ReferenceBackend(), configuration: configuration)
    }

    /// Every number that an answer comes with, to the bit.
    private func bits(_ engine: Engine, _ request: GenerationRequest) async throws -> [UInt32] {
        var bits: [UInt32] = []
        for await event in try engine.submit(request) {
            switch event {
            case .prompt(let scores): bits += scores.compactMap { $0.logProbability?.bitPattern }
            case .logits(let values): bits += values.map(\.bitPattern)
            case .started: break
            case .token(let token, _):
                bits.append(UInt32(bitPattern: token.token))
                bits += token.top.map(\.logProbability.bitPattern)
            case .failed(let error): throw error
            }
        }
        return bits
    }

    private var requests: [GenerationRequest] {
        (0..<24).map { number in
            // Three beginnings, each with several ends; some prompts are the same.
            let start = (0..<17).map { Int32(($0 * 3 + number % 3) % 31) }
            let end = (0..<number % 4).map { Int32($0 + number / 4 % 2) }
            var request = GenerationRequest(prompt: start + end, maxNewTokens: 3 + number % 9)
            (request.reportsLogits, request.topLogProbabilities) = (true, 2)
            request.scoresPrompt = number % 5 == 0
            request.sampling.temperature = 0.8
            request.sampling.seed = UInt64(number)
            if number % 6 == 0 { request.cacheSalt = CacheSalt("other") }
            return request
        }
    }

    /// Alone without a cache, all together, again with all prefixes cached, and in a pool so small that requests are
    /// paused and prefixes evicted: the same bits.
    @Test func answersAreTheSameHoweverTheirPromptsWereComputed() async throws {
        let alone = try engine(sharesPrefixes: false)
        var expected: [[UInt32]] = []
        for request in requests { expected.append(try await bits(alone, request)) }
        #expect(alone.statistics.cachedTokens == 0)
        let (wide, narrow) = (
            try engine(), try engine(slots: 60, policy: AggressivePolicy(ratio: 0.99, newTokens: 1))
        )
        for engine in [wide, wide, narrow, narrow] {
            let (requests, before) = (requests, engine.statistics.cachedTokens)
            try await withThrowingTaskGroup(of: (Int, [UInt32]).self) { group in
                for (number, request) in requests.enumerated() {
                    group.addTask { (number, try await bits(engine, request)) }
                }
                for try await (number, found) in group {
                    #expect(found == expected[number], "request \(number)")
                }
            }
            try await settle(engine)
            #expect(engine.statistics.cachedTokens > before)
            #expect(engine.statistics.freeSlots == engine.statistics.totalSlots)
        }
        #expect(wide.statistics.pauses == 0 && narrow.statistics.pauses > 0)
    }

    /// Answers to one prompt that are asked for together compute it once.
    @Test func answersToOnePromptShareIt() async throws {
        let engine = try engine()
        let prompt = (0..<50).map { Int32($0 % 31) }
        let request = GenerationRequest(prompt: prompt, maxNewTokens: 4)
        for stream in try engine.submit(Array(repeating: request, count: 5)) {
            var tokens: [Int32] = []
            for await case .token(let token, _) in stream { tokens.append(token.token) }
            #expect(tokens == CountingModel().expected(after: prompt, count: 4))
        }
        #expect(engine.statistics.cachedTokens == 4 * 49)
        #expect(engine.statistics.promptTokens == 50 + 4)
    }

    @Test func saltsKeepPromptsApart() async throws {
        let engine = try engine()
        var request = GenerationRequest(prompt: [1, 2, 3, 4], maxNewTokens: 1)
        for (salt, cached) in [(nil, 0), ("a", 0), ("b", 0), ("a", 3), (nil, 6)] as [(String?, Int)] {
            request.cacheSalt = salt.map { CacheSalt($0) }
            _ = try await bits(engine, request)
            #expect(engine.statistics.cachedTokens == cached)
        }
    }

    @Test func crowdsAndLatecomersAreRefused() async throws {
        var limits = SchedulerLimits(runningSequences: 1, tokensPerStep: 8)
        limits.waitingSequences = 2
        // Long enough that it does not end before the others have come.
        let engine = try engine(slots: 30_000, longest: 30_000, limits: limits)
        let running = try engine.submit(GenerationRequest(prompt: [1], maxNewTokens: 29_000))
        var events = running.makeAsyncIterator()
        _ = await events.next()
        var late = GenerationRequest(prompt: [2], maxNewTokens: 3)
        late.terms.deadline = .now
        let expired = try engine.submit(late)
        let waiting = try engine.submit(GenerationRequest(prompt: [3], maxNewTokens: 1))
        // The first may take the place of the one that expires.
        var crowd: [GenerationStream] = []
        do throws(RequestError) {
            for _ in 0..<2 {
                crowd.append(try engine.submit(GenerationRequest(prompt: [4], maxNewTokens: 1)))
            }
            Issue.record("four requests wait")
        } catch { #expect(error == .queueFull(limit: 2)) }
        var failure: RequestError?
        for await case .failed(let error) in expired { failure = error }
        #expect(failure == .expired)
        running.cancel()
        var count = 0
        for await case .token in waiting { count += 1 }
        #expect(count == 1)
    }
}
