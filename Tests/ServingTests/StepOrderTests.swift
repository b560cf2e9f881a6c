import Foundation
import ReferenceBackend
import Scheduling
import Serving
import Tensors
import Testing

/// What an engine does while a step runs shows in no answer.
@Suite struct StepOrderTests {
    private func engine(_ order: StepOrder, slots: Int = 120) throws -> Engine {
        var configuration = EngineConfiguration(
            slots: slots, cacheElement: .float32,
            limits: SchedulerLimits(runningSequences: 6, tokensPerStep: 10), maxRequestTokens: 60)
        configuration.stepOrder = order
        return try makeEngine(configuration)
    }

    private static let requests = (0..<24).map { index in
        var request = GenerationRequest(
            prompt: (0...index % 9).map { Int32(($0 * 5 + index) % 31) }, maxNewTokens: 3 + index % 12)
        request.endTokens = [Int32(index % 31), 4]
        request.ignoresEndTokens = index.isMultiple(of: 3)
        request.scoresPrompt = index.isMultiple(of: 5)
        request.reportsLogits = index.isMultiple(of: 7)
        request.topLogProbabilities = index % 4
        if index.isMultiple(of: 2) {
            request.sampling.temperature = 5
            request.sampling.seed = UInt64(index)
            request.sampling.frequencyPenalty = 0.5
        }
        return request
    }

    private func events(_ order: StepOrder) async throws -> [[String]] {
        let engine = try engine(order)
        var result: [[String]] = []
        for stream in try engine.submit(Self.requests) {
            var events: [String] = []
            for await event in stream {
                // How much was cached depends on who came when.
                if case .started = event { events.append("started") } else { events.append("\(event)") }
            }
            result.append(events)
        }
        let statistics = engine.statistics
        #expect(statistics.freeSlots == 120 && statistics.finishedRequests == Self.requests.count)
        #expect((statistics.running, statistics.waiting) == (0, 0))
        return result
    }

    @Test func eventsAreTheSame() async throws {
        let expected = try await events(.oneAfterTheOther)
        #expect(expected.allSatisfy { $0.count > 1 })
        #expect(try await events(.overlapped) == expected)
    }

    /// Requests that go away at any time leave nothing behind, and the others' answers as they are.
    @Test(arguments: StepOrder.allCases)
    func cancelledRequestsLeaveNothing(_ order: StepOrder) async throws {
        let engine = try engine(order)
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            for index in 0..<60 {
                tasks.addTask {
                    let prompt = [Int32(index % 31), 2, 3]
                    var left = index.isMultiple(of: 2) ? index % 7 : .max
                    var tokens: [Int32] = []
                    for await case .token(let token, _) in try engine.submit(
                        GenerationRequest(prompt: prompt, maxNewTokens: 20))
                    {
                        tokens.append(token.token)
                        left -= 1
                        if left <= 0 { break }
                    }
                    let expected = CountingModel().expected(after: prompt, count: 20)
                    #expect(tokens[...] == expected.prefix(tokens.count))
                    #expect(tokens.count == 20 || index.isMultiple(of: 2))
                }
            }
            try await tasks.waitForAll()
        }
        try await settle(engine)
        #expect(engine.statistics.freeSlots == 120)
        #expect(engine.statistics.peakSlots <= 120)
    }
}
