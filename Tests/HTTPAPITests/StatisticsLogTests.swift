import Logging
import Serving
import Synchronization
import Testing
import TextGeneration

@testable import HTTPAPI

@Suite struct StatisticsLogTests {
    @Test func lineCountsWhatHappened() {
        var (before, now) = (EngineStatistics(), EngineStatistics())
        #expect(StatisticsLine(from: before, to: now, in: .seconds(10)) == nil)
        (before.promptTokens, before.generatedTokens, before.cachedTokens) = (100, 50, 10)
        (now.promptTokens, now.generatedTokens, now.cachedTokens) = (400, 75, 110)
        (now.totalSlots, now.freeSlots, now.running, now.waiting, now.paused) = (1000, 750, 3, 2, 1)
        #expect(
            StatisticsLine(from: before, to: now, in: .seconds(10))?.text
                == "running 3, waiting 2, paused 1; tokens in use 250 of 1000 (25.0%); prompts 30.0 tokens/s, answers 2.5 tokens/s; from the cache 25.0%"
        )
        before = now
        (before.running, before.waiting, now.running, now.waiting) = (0, 0, 0, 0)
        #expect(StatisticsLine(from: before, to: now, in: .seconds(10)) == nil)
        now.running = 1
        #expect(StatisticsLine(from: before, to: now, in: .zero) != nil)
    }

    @Test func logSpeaksWhileSomethingRuns() async throws {
        let generator = try TestServer().generator
        let recorder = Recorder()
        let logger = Logger(label: "test") { _ in recorder }
        let log = StatisticsLog(engine: generator.engine, interval: .milliseconds(5), logger: logger)
        let task = Task { try await log.run() }
        try await Task.sleep(for: .milliseconds(50))
        #expect(recorder.lines.isEmpty)
        var request = TextRequest(prompt: .text("Hello"), maxNewTokens: 200)
        request.ignoresEndTokens = true
        // On a busy machine the log may begin to look only when the first answer is through.
        for _ in 0..<100 where recorder.lines.isEmpty { for await _ in try generator.generate(request) {} }
        task.cancel()
        try await task.value
        #expect(recorder.lines.first?.hasPrefix("running ") ?? false, "\(recorder.lines)")
    }
}

private final class Recorder: LogHandler {
    private let recorded = Mutex<[String]>([])
    var lines: [String] { recorded.withLock { $0 } }
    var metadata: Logger.Metadata {
        get { [:] }
        set {}
    }
    var logLevel: Logger.Level {
        get { .info }
        set {}
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { nil }
        set {}
    }

    func log(event: LogEvent) { recorded.withLock { $0.append("\(event.message)") } }
}
