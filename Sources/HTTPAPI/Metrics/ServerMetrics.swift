import Foundation
import Serving
import Synchronization
import TextGeneration

/// Counts and times of requests, in the names that LightLLM's monitoring knows and in those of vLLM.
final class ServerMetrics: Sendable {
    struct State: Sendable {
        var requests = 0
        var failures = 0
        /// Answers, by why they ended.
        var finished: [FinishReason: Int] = [:]
        var validation = Histogram(Buckets.durations)
        var lightLLM: RequestHistograms
        var vLLM: RequestHistograms
        var cacheRatio = Histogram(Buckets.ratios)
        var answersPerRequest = Histogram(Buckets.answers)
        var lastSuccess: ContinuousClock.Instant?

        /// Records the same in the bounds of both.
        mutating func observe(_ field: WritableKeyPath<RequestHistograms, Histogram>, _ value: Double) {
            lightLLM[keyPath: field].observe(value)
            vLLM[keyPath: field].observe(value)
        }
    }

    /// What is known of each request.
    struct RequestHistograms: Sendable {
        var total: Histogram
        var queue: Histogram
        var prefill: Histogram
        var decode: Histogram
        var firstToken: Histogram
        var perToken: Histogram
        var betweenTokens: Histogram
        var promptTokens: Histogram
        var cachedTokens: Histogram
        var maxNewTokens: Histogram
        var generatedTokens: Histogram

        init(times: [Double], first: [Double], between: [Double], tokens: [Double]) {
            let (time, count) = (Histogram(times), Histogram(tokens))
            (total, queue, prefill, decode) = (time, time, time, time)
            (firstToken, perToken, betweenTokens) = (Histogram(first), Histogram(between), Histogram(between))
            (promptTokens, cachedTokens, maxNewTokens, generatedTokens) = (count, count, count, count)
        }
    }

    let startTime = Date().timeIntervalSince1970
    let modelName: String
    private let state: Mutex<State>

    init(modelName: String, maxRequestTokens: Int) {
        self.modelName = modelName
        let durations = Buckets.durations
        state = Mutex(
            State(
                lightLLM: RequestHistograms(
                    times: durations, first: durations, between: durations,
                    tokens: Buckets.lengths(maxRequestTokens)),
                vLLM: RequestHistograms(
                    times: Buckets.requests, first: Buckets.firstToken, between: Buckets.betweenTokens,
                    tokens: Buckets.tokens(maxRequestTokens))))
    }

    /// Notes a request that is asked for `answers` answers, and how long it took to see that it is valid.
    func count(answers: Int, validation: Duration) {
        state.withLock {
            $0.answersPerRequest.observe(Double(answers))
            $0.validation.observe(validation / .seconds(1))
        }
    }

    /// Notes that an answer begins.
    func begin(_ stream: TextStream) -> RequestTimer {
        state.withLock {
            $0.requests += 1
            $0.observe(\.promptTokens, Double(stream.promptTokens.count))
            $0.observe(\.maxNewTokens, Double(stream.maxNewTokens))
        }
        return RequestTimer(promptTokens: stream.promptTokens.count)
    }

    /// Notes the time since the token before.
    func countToken(_ timer: inout RequestTimer) {
        guard let gap = timer.countToken() else { return }
        state.withLock { $0.observe(\.betweenTokens, gap / .seconds(1)) }
    }

    func end(_ timer: RequestTimer, _ reason: FinishReason) {
        let now = ContinuousClock.now
        state.withLock {
            $0.finished[reason, default: 0] += 1
            $0.lastSuccess = now
            let total = (now - timer.arrival) / .seconds(1)
            let first = timer.firstToken.map { ($0 - timer.arrival) / .seconds(1) } ?? total
            let queue = timer.begin.map { ($0 - timer.arrival) / .seconds(1) } ?? 0
            $0.observe(\.total, total)
            $0.observe(\.queue, queue)
            $0.observe(\.prefill, max(0, first - queue))
            $0.observe(\.decode, max(0, total - first))
            $0.observe(\.firstToken, first)
            $0.observe(\.perToken, (total - first) / Double(max(timer.tokens, 1)))
            $0.observe(\.generatedTokens, Double(timer.tokens))
            $0.observe(\.cachedTokens, Double(timer.cachedTokens))
            $0.cacheRatio.observe(Double(timer.cachedTokens) / Double(max(timer.promptTokens, 1)))
        }
    }

    func countFailure() { state.withLock { $0.failures += 1 } }

    /// Whether a request has succeeded within this time.
    func hasSucceeded(within duration: Duration) -> Bool {
        state.withLock { $0.lastSuccess.map { ContinuousClock.now - $0 < duration } ?? false }
    }

    /// Prometheus' text format.
    /// - Parameter images: What became of images, where requests may have some.
    func text(_ engine: EngineStatistics, images: ImageStatistics? = nil) -> String {
        let state = state.withLock { $0 }
        var text = MetricsText()
        writeLightLLM(state, engine, to: &text)
        writeVLLM(state, engine, to: &text)
        if let images { writeImages(images, to: &text) }
        return text.lines.joined(separator: "\n") + "\n"
    }
}

/// When a request arrived, began to be computed, and its tokens came.
struct RequestTimer: Sendable {
    let promptTokens: Int
    let arrival = ContinuousClock.now
    private(set) var begin: ContinuousClock.Instant?
    private(set) var cachedTokens = 0
    private(set) var firstToken: ContinuousClock.Instant?
    private var lastToken: ContinuousClock.Instant?
    private(set) var tokens = 0

    init(promptTokens: Int) { self.promptTokens = promptTokens }

    /// Notes that the engine has begun, with so many tokens of the prompt from its cache.
    mutating func start(cachedTokens: Int) { (begin, self.cachedTokens) = (.now, cachedTokens) }

    /// The time since the token before, if there was one.
    fileprivate mutating func countToken() -> Duration? {
        let now = ContinuousClock.now
        defer { lastToken = now }
        if firstToken == nil { firstToken = now }
        tokens += 1
        return lastToken.map { now - $0 }
    }
}
