import Foundation
import ReferenceBackend
import Scheduling
import Serving
import Tensors
import Testing

@Suite struct StepTraceTests {
    private struct Event: Decodable {
        struct Arguments: Decodable {
            let step: Int
            let rows: Int
        }
        let name: String
        let ph: String
        let ts: Double
        let dur: Double
        let args: Arguments
    }

    private func events(_ path: String) throws -> [Event] {
        try JSONDecoder().decode([Event].self, from: Data(contentsOf: URL(fileURLWithPath: path)))
    }

    @Test func namesEveryPhaseOfEveryStep() async throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let path = folder.appendingPathComponent("trace.json").path
        let trace = try StepTrace(path: path)
        #expect(try events(path).isEmpty)
        var configuration = EngineConfiguration(
            slots: 50, cacheElement: .float32, limits: SchedulerLimits(), maxRequestTokens: 50)
        configuration.trace = trace
        let engine = try Engine(
            model: CountingModel(), backend: ReferenceBackend(), configuration: configuration)
        for _ in 0..<2 {
            _ = try await answer(engine, GenerationRequest(prompt: [1, 2, 3], maxNewTokens: 4))
            // The last token is out before its step has been noted.
            try await waitForIdle(path, trace)
        }
        let events = try events(path)
        #expect(events.allSatisfy { $0.ph == "X" && $0.dur >= 0 })
        #expect(events.map(\.ts) == events.map(\.ts).sorted())
        let steps = Dictionary(grouping: events, by: \.args.step).values.filter { $0.count > 2 }
        #expect(steps.count == 8)
        for step in steps {
            #expect(step.map(\.name) == ["commands", "schedule", "build", "forward", "sample", "publish"])
        }
        // All but the last token of the second prompt, which is the first's, is cached.
        #expect(events.filter { $0.name == "forward" }.map(\.args.rows) == [3, 1, 1, 1, 1, 1, 1, 1])
    }

    /// Waits until the engine has found nothing left to do.
    private func waitForIdle(_ path: String, _ trace: StepTrace) async throws {
        for _ in 0..<2000 {
            trace.flush()
            if try events(path).last?.name == "schedule", try events(path).last?.args.rows == 0 { return }
            try await Task.sleep(for: .milliseconds(5))
        }
    }

    @Test func refusesFilesThatCannotBeWritten() {
        #expect(throws: (any Error).self) { try StepTrace(path: "/nowhere/trace.json") }
    }
}
