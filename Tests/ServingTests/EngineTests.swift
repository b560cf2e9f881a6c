import Foundation
import Scheduling
import Serving
import Testing

@Suite struct EngineTests {
    @Test func answersManyAtOnceAsEachAlone() async throws {
        for limits in [
            SchedulerLimits(), SchedulerLimits(runningSequences: 3, tokensPerStep: 5),
            SchedulerLimits(runningSequences: 64, tokensPerStep: 64),
        ] {
            let engine = try makeEngine(slots: 90, limits: limits)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<64 {
                    group.addTask {
                        let prompt = (0...number % 17).map { Int32(($0 * 5 + number) % 31) }
                        var request = GenerationRequest(prompt: prompt, maxNewTokens: 1 + number % 23)
                        request.scoresPrompt = number % 2 == 0
                        let (tokens, finish) = try await answer(engine, request)
                        #expect(tokens == CountingModel().expected(after: prompt, count: 1 + number % 23))
                        #expect(finish == .length)
                    }
                }
                try await group.waitForAll()
            }
            #expect(engine.statistics.freeSlots == 90 && engine.statistics.finishedRequests == 64)
        }
    }

    @Test func leavingTheLoopGivesTheSlotsBack() async throws {
        let engine = try makeEngine()
        for await event in try engine.submit(GenerationRequest(prompt: [1, 2, 3], maxNewTokens: 150)) {
            if case .token = event { break }
        }
        let stream = try engine.submit(GenerationRequest(prompt: [1], maxNewTokens: 150))
        stream.cancel()
        let task = Task {
            for await _ in try engine.submit(GenerationRequest(prompt: [5], maxNewTokens: 150)) {}
        }
        task.cancel()
        _ = await task.result
        try await settle(engine)
        #expect(engine.statistics.freeSlots == engine.statistics.totalSlots)
        #expect(engine.statistics.running == 0 && engine.statistics.waiting == 0)
    }

    @Test func refusesWhatCanNeverRun() throws {
        let engine = try makeEngine(slots: 50, most: 40)
        func refusal(_ prompt: [Int32], _ count: Int) -> RequestError? {
            do throws(RequestError) {
                _ = try engine.submit(GenerationRequest(prompt: prompt, maxNewTokens: count))
                return nil
            } catch { return error }
        }
        #expect(refusal([], 1) == .emptyPrompt)
        #expect(refusal([31], 1) == .tokenOutOfRange(31, vocabulary: 31))
        #expect(refusal([-1], 1) == .tokenOutOfRange(-1, vocabulary: 31))
        #expect(refusal([1], 0) == .nothingToGenerate(0))
        #expect(refusal([1], .max) == .tooLong(prompt: 1, newTokens: .max, most: 40))
        #expect(refusal(Array(repeating: 1, count: 40), 1) == .tooLong(prompt: 40, newTokens: 1, most: 40))
        #expect(refusal(Array(repeating: 1, count: 39), 1) == nil)
        engine.stop()
        #expect(refusal([1], 1) == .engineStopped)
    }

    @Test func stopsWhereItShould() async throws {
        let engine = try makeEngine()
        let prompt: [Int32] = [1, 2]
        let expected = CountingModel().expected(after: prompt, count: 10)
        var request = GenerationRequest(prompt: prompt, maxNewTokens: 10)
        request.endTokens = [expected[4]]
        let first = try #require(expected.firstIndex(of: expected[4]))
        var result = try await answer(engine, request)
        #expect(result.tokens == Array(expected[...first]) && result.finish == .stop)
        request.ignoresEndTokens = true
        result = try await answer(engine, request)
        #expect(result.tokens == expected && result.finish == .length)
        request.stopSequences = [[expected[2], expected[3]], []]
        result = try await answer(engine, request)
        #expect(result.tokens == Array(expected[...3]) && result.finish == .stop)
    }

    @Test func reportsPromptScores() async throws {
        let engine = try makeEngine(
            limits: SchedulerLimits(runningSequences: 4, tokensPerStep: 4, scoredTokensPerStep: 3))
        var request = GenerationRequest(prompt: [3, 3, 6, 12, 24, 17, 1], maxNewTokens: 2)
        (request.scoresPrompt, request.reportsLogits, request.topLogProbabilities) = (true, true, 2)
        var scores: [ScoredToken] = [], logits: [Float] = [], tokens: [ScoredToken] = []
        for await event in try engine.submit(request) {
            switch event {
            case .started(let count): #expect(count == 0 && scores.isEmpty)
            case .prompt(let part): scores += part
            case .logits(let values): logits = values
            case .token(let token, _): tokens.append(token)
            case .failed(let error): throw error
            }
        }
        #expect(scores.map(\.token) == request.prompt && scores[0].logProbability == nil)
        // The model expects each of these but the last: the likeliest token was the prompt's.
        for score in scores[1..<6] { #expect(score.top.first?.token == score.token && score.top.count == 2) }
        #expect(scores[6].top.first?.token != 1)
        #expect(logits.count == 31 && tokens.count == 2 && tokens[0].top.count == 2)
        let total = logits.reduce(0.0) { $0 + exp(Double($1)) }
        #expect(abs(exp(Double(tokens[0].logProbability ?? 0)) - 1 / total) < 1e-6)
    }

    /// Requests that race with the end of the engine are refused or ended; none waits for ever.
    @Test func stoppingLeavesNobodyWaiting() async throws {
        for _ in 0..<50 {
            let engine = try makeEngine()
            await withTaskGroup(of: Void.self) { group in
                for number in 0..<8 {
                    group.addTask {
                        if number == 4 { engine.stop() }
                        _ = try? await answer(engine, GenerationRequest(prompt: [1], maxNewTokens: 150))
                    }
                }
            }
        }
    }

    /// A request that is waiting leaves the queue, and those behind it run.
    @Test func waitingRequestsCanLeave() async throws {
        let engine = try makeEngine(slots: 60, most: 60)
        let running = try engine.submit(GenerationRequest(prompt: [1], maxNewTokens: 50))
        let waiting = try engine.submit(GenerationRequest(prompt: [1], maxNewTokens: 50))
        waiting.cancel()
        let result = try await answer(engine, GenerationRequest(prompt: [2], maxNewTokens: 3))
        #expect(result.tokens.count == 3)
        running.cancel()
        try await settle(engine)
        #expect(engine.statistics.freeSlots == 60)
    }

    /// Requests that are submitted together share their first step, and run all or not at all.
    @Test func batchesArriveTogether() async throws {
        let engine = try makeEngine()
        let requests = (0..<20).map { GenerationRequest(prompt: [Int32($0)], maxNewTokens: 3) }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for (stream, request) in zip(try engine.submit(requests), requests) {
                group.addTask {
                    var tokens: [Int32] = []
                    for await case .token(let token, _) in stream { tokens.append(token.token) }
                    #expect(tokens == CountingModel().expected(after: request.prompt, count: 3))
                }
            }
            try await group.waitForAll()
        }
        let wrong = GenerationRequest(prompt: [99], maxNewTokens: 3)
        #expect(throws: RequestError.tokenOutOfRange(99, vocabulary: 31)) {
            try engine.submit(requests + [wrong])
        }
        // Its end publishes what the steps before it have done.
        _ = try await answer(engine, requests[0])
        #expect(engine.statistics.finishedRequests == 21)
        #expect((3...6).contains(engine.statistics.steps))
    }
}
