import CUDABackend
import CUDARuntime
import Foundation
import JSON
import Layers
import LightLLM
import Scheduling
public import Serving
import Tensors
import Weights

extension GPUCheck {
    /// 2,000 requests, all there from the start, 225 tokens asked and 227 answered on average, with either cache. The
    /// first may take `seconds`; bytes, which are to be a quarter faster, five sixths of that.
    static func measureService(_ backend: CUDABackend, seconds: Int, _ recorder: Recorder) async throws {
        let start = ContinuousClock.now
        let model = try LoadedModel(checkpoint: SyntheticCheckpoint(), backend: backend)
        recorder.record("load", ["seconds": .number((ContinuousClock.now - start) / .seconds(1))])
        let whole = try await serve(model, on: backend, .bfloat16, within: seconds, recorder)
        let bytes = try await serve(model, on: backend, .int8, within: seconds * 5 / 6, recorder)
        recorder.record("int8 over bfloat16", ["ratio": .number(bytes / whole)])
    }

    /// Requests per second.
    private static func serve(
        _ model: LoadedModel, on backend: CUDABackend, _ element: CacheElement, within seconds: Int,
        _ recorder: Recorder
    ) async throws -> Double {
        var options = EngineOptions()
        (options.cacheElement, options.maxRequestTokens) = (element, 2048)
        options.limits = SchedulerLimits(runningSequences: 512, tokensPerStep: 1024)
        options.sharesPrefixes = false
        let engine = try model.makeEngine(options)
        let requests = RequestLengths.requests(2000, seed: 0, vocabulary: 32_000)
        try backend.stream.startWatching()
        let run = try await ServiceRun(requests, on: engine, within: .seconds(seconds))
        let idle = backend.stream.endWatching()
        recorder.record(
            "service \(element)",
            [
                "whole": .bool(run.isWhole), "finished": .integer(run.statistics.finishedRequests),
                "of": .integer(requests.count), "seconds": .number(run.seconds),
                "requests/s": .number(run.requestsPerSecond),
                "output tokens/s": .number(Double(run.statistics.generatedTokens) / run.seconds),
                "total tokens/s": .number(run.tokensPerSecond),
                "idle": .number(idle.fraction), "slots": .integer(run.statistics.totalSlots),
                "pauses": .integer(run.statistics.pauses), "steps": .integer(run.statistics.steps),
                "ms a step": .number(1000 * run.seconds / Double(max(run.statistics.steps, 1))),
                "idle ms a step": .number(1000 * idle.idle / Double(max(idle.gaps, 1))),
            ])
        return run.requestsPerSecond
    }
}

/// What became of requests that were all there from the start.
public struct ServiceRun: Sendable {
    public let statistics: EngineStatistics
    /// From the first request to the end of the last step.
    public let seconds: Double
    private let requests: Int
    /// Of all prompts and answers.
    private let tokens: Int

    /// Sends `requests`, waits until all are answered or the time is over, and ends the engine.
    public init(
        _ requests: [GenerationRequest], on engine: Engine, within limit: Duration
    ) async throws {
        let start = ContinuousClock.now
        let streams = try engine.submit(requests)
        while !engine.hasEnded, engine.statistics.finishedRequests < requests.count,
            ContinuousClock.now - start < limit
        {
            try await Task.sleep(for: .milliseconds(50))
        }
        engine.stop()
        while !engine.hasEnded { try await Task.sleep(for: .milliseconds(5)) }
        withExtendedLifetime(streams) {}
        statistics = engine.statistics
        if let failure = statistics.failure { throw failure }
        seconds = (statistics.lastProgress - start) / .seconds(1)
        self.requests = requests.count
        tokens = requests.reduce(0) { $0 + $1.prompt.count + $1.maxNewTokens }
    }

    /// Whether all were answered.
    public var isWhole: Bool { statistics.finishedRequests == requests }

    /// Those of prompts and those of answers.
    public var tokensPerSecond: Double {
        Double(statistics.promptTokens + statistics.generatedTokens) / seconds
    }

    /// Where the time was over before the end, how many requests had as many tokens as were computed: of those that are
    /// finished first most are short.
    public var requestsPerSecond: Double { tokensPerSecond * Double(requests) / Double(tokens) }
}

/// Lengths of prompts and answers as ShareGPT has them: cut log-normals.
public struct RequestLengths {
    private var random: SeededGenerator

    public init(seed: UInt64) { random = SeededGenerator(seed: seed) }

    public mutating func next() -> (prompt: Int, answer: Int) {
        while true {
            let (prompt, answer) = (Int(exp(5.1 + 1.45 * normal())), Int(exp(4.95 + 1.05 * normal())))
            if (4...1024).contains(prompt), answer >= 4, prompt + answer <= 2048 { return (prompt, answer) }
        }
    }

    private mutating func normal() -> Double {
        let (a, b) = (random.nextUnit(), random.nextUnit())
        return (-2 * log(1 - a)).squareRoot() * cos(2 * Double.pi * b)
    }

    /// Requests of such lengths, each with tokens of its own.
    static func requests(_ count: Int, seed: UInt64, vocabulary: Int) -> [GenerationRequest] {
        var lengths = RequestLengths(seed: seed)
        return (0..<count).map { index in
            let (prompt, answer) = lengths.next()
            var request = GenerationRequest(
                prompt: (0..<prompt).map { Int32((index * 7919 + $0 * 104_729) % vocabulary) },
                maxNewTokens: answer)
            request.ignoresEndTokens = true
            return request
        }
    }
}
