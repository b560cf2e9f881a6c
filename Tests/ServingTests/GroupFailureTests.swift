import Dispatch
import Layers
import Ranks
import ReferenceBackend
import Serving
import Synchronization
import Tensors
import Testing

@Suite struct GroupFailureTests {
    /// The engine's thread may be held by a library that waits for a rank which is gone.
    @Test func streamsEndWhileAStepIsHeld() async throws {
        let group = RankGroup.threads(2)
        let model = HeldModel()
        let engine = try Engine(
            model: model, backend: ReferenceBackend(),
            configuration: EngineConfiguration(slots: 500, cacheElement: .float32, maxRequestTokens: 200),
            group: group[0])
        model.hold.store(true, ordering: .relaxed)
        let running = try engine.submit(GenerationRequest(prompt: [1, 2], maxNewTokens: 100))
        model.arrived.wait()
        let waiting = try engine.submit(GenerationRequest(prompt: [3], maxNewTokens: 1))
        group[0].health.fail(.lost(rank: 1, "a test"))
        let failure = RequestError.engineFailed("rank 1 is gone: a test")
        #expect(engine.statistics.failure == failure)
        #expect(throws: failure) { try engine.submit(GenerationRequest(prompt: [4], maxNewTokens: 1)) }
        for stream in [running, waiting] {
            let events = await stream.reduce(into: []) { $0.append($1) }
            guard events.count == 1, case .failed(failure) = events[0] else {
                Issue.record("\(events)")
                continue
            }
        }
        #expect(!engine.hasEnded, "the step is still held")
        model.release.signal()
        while !engine.hasEnded { try await Task.sleep(for: .milliseconds(5)) }
        let statistics = engine.statistics
        #expect(statistics.freeSlots == 500 && statistics.failure == failure)
        #expect(statistics.failedRequests == 2 && statistics.cancelledRequests == 0)
    }
}

/// Counts, and stays in a step as long as it is held.
private final class HeldModel: LanguageModel {
    let hold = Atomic<Bool>(false)
    let arrived = DispatchSemaphore(value: 0)
    let release = DispatchSemaphore(value: 0)
    private let model = CountingModel()

    var vocabularySize: Int { model.vocabularySize }
    var cacheLayout: CacheLayout { model.cacheLayout }

    func callAsFunction(_ pass: ForwardPass) -> Matrix {
        if hold.exchange(false, ordering: .relaxed) {
            arrived.signal()
            release.wait()
        }
        return model(pass)
    }
}
