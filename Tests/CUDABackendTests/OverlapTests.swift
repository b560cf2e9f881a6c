import CCUDAHost
import CUDABackend
import Foundation
import JSON
import LightLLM
import OrderedCollections
import Scheduling
import Serving
import Tensors
import Testing
import Weights

/// What the engine does while a step runs, on a device on which nothing runs before somebody waits.
@Suite(.serialized) struct OverlapTests {
    private static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().appendingPathComponent("Fixtures/goldens/models/tiny_llama").path

    private static let requests = (0..<5).map { index in
        var request = GenerationRequest(
            prompt: (0...3 * index).map { Int32($0 * 7 % 50 + index) }, maxNewTokens: 3 + 2 * index)
        request.ignoresEndTokens = true
        request.topLogProbabilities = index
        if index == 2 { (request.sampling.temperature, request.sampling.seed) = (0.9, 7) }
        if index == 3 {
            (request.sampling.temperature, request.sampling.seed) = (0.9, 8)
            request.sampling.topP = 0.7
        }
        return request
    }

    private func events(
        _ backend: CUDABackend, _ order: StepOrder? = nil, trace: StepTrace? = nil
    ) async throws -> [[String]] {
        let model = try LoadedModel(checkpoint: openCheckpoint(Self.folder), backend: backend)
        var configuration = EngineConfiguration(
            slots: 128, cacheElement: .float32,
            limits: SchedulerLimits(runningSequences: 3, tokensPerStep: 8), maxRequestTokens: 48)
        (configuration.stepOrder, configuration.trace) = (order, trace)
        let engine = try Engine(model: model.network, backend: backend, configuration: configuration)
        var all: [[String]] = []
        for stream in try engine.submit(Self.requests) {
            var events: [String] = []
            for await event in stream { events.append("\(event)") }
            all.append(events)
        }
        #expect(engine.statistics.freeSlots == 128 && backend.failure == nil)
        return all
    }

    @Test func eventsAreTheSame() async throws {
        let expected = try await events(makeHostBackend(graphs: nil), .oneAfterTheOther)
        #expect(expected.map(\.count) == Self.requests.map { $0.maxNewTokens + 1 })
        for order in StepOrder.allCases {
            let backend = try makeHostBackend { cuda_host_late_driver($0) }
            #expect(try await events(backend, order) == expected)
            #expect(backend.graphCounts.replays > 0)
        }
    }

    /// The step before is sent, and requests come and go, after a step was enqueued and before its tokens are waited for.
    @Test func sendsTheStepBeforeWhileOneRuns() async throws {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString).path
        defer { try? FileManager.default.removeItem(atPath: path) }
        let trace = try StepTrace(path: path)
        _ = try await events(makeHostBackend { cuda_host_late_driver($0) }, trace: trace)
        trace.flush()
        let entries = try JSONValue(parsing: Array(Data(contentsOf: URL(fileURLWithPath: path)))).array ?? []
        let steps = Dictionary(grouping: entries) { $0["args"]?["step"]?.int ?? 0 }
            .mapValues { $0.compactMap { $0["name"]?.string } }
        let order = [
            "commands", "schedule", "build", "forward", "publish", "commands", "sample", "publish",
        ]
        let computing = steps.values.filter { $0.contains("forward") }
        #expect(computing.count >= 11 && computing.allSatisfy { $0 == order })
    }

    /// Nobody waits before the answers are wanted, and then once.
    @Test func answersAreWaitedForOnce() throws {
        let backend = try makeHostBackend { cuda_host_late_driver($0) }
        let logits = backend.matrix([[1, 5, 2, 0], [0, 0, 3, 1]])
        var (expected, found): ([LogitAnswer], [LogitAnswer]) = ([], [])
        backend.answer([LogitQuery(row: 1), LogitQuery(row: 0)], on: logits, into: &expected)
        #expect(expected.map(\.choice.index) == [2, 1])
        let before = cuda_host_counted().waits
        let pending = backend.ask([LogitQuery(row: 1), LogitQuery(row: 0)], on: logits)
        #expect(cuda_host_counted().waits == before)
        pending.wait(into: &found)
        #expect(cuda_host_counted().waits == before + 1)
        #expect(found == expected)
    }
}
