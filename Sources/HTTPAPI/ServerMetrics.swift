import Foundation
import Serving
import Synchronization

/// Counts and times of requests, in the names that LightLLM's monitoring knows.
final class ServerMetrics: Sendable {
    private struct State {
        var requests = 0
        var successes = 0
        var failures = 0
        var inference: Histogram
        var firstToken: Histogram
        var perToken: Histogram
        var inputLength: Histogram
        var generatedTokens: Histogram
        var lastSuccess: ContinuousClock.Instant?
    }

    let startTime = Date().timeIntervalSince1970
    private let state: Mutex<State>

    init(maxRequestTokens: Int) {
        let durations = (1...35).map { 0.001 * pow(1.5, Double($0)) }
        let lengths = (0...100).map { Double(maxRequestTokens) / 100 * Double($0) }
        state = Mutex(
            State(
                inference: Histogram(durations), firstToken: Histogram(durations),
                perToken: Histogram(durations),
                inputLength: Histogram(lengths), generatedTokens: Histogram(lengths)))
    }

    func begin(_ promptTokens: Int) -> RequestTimer {
        state.withLock {
            $0.requests += 1
            $0.inputLength.observe(Double(promptTokens))
        }
        return RequestTimer()
    }

    func end(_ timer: RequestTimer) {
        let now = ContinuousClock.now
        state.withLock {
            $0.successes += 1
            $0.lastSuccess = now
            let total = (now - timer.start) / .seconds(1)
            let first = timer.firstToken.map { ($0 - timer.start) / .seconds(1) } ?? total
            $0.inference.observe(total)
            $0.firstToken.observe(first)
            $0.perToken.observe((total - first) / Double(max(timer.tokens, 1)))
            $0.generatedTokens.observe(Double(timer.tokens))
        }
    }

    func countFailure() { state.withLock { $0.failures += 1 } }

    /// Whether a request has succeeded within this time.
    func hasSucceeded(within duration: Duration) -> Bool {
        state.withLock { $0.lastSuccess.map { ContinuousClock.now - $0 < duration } ?? false }
    }

    /// Prometheus' text format.
    func text(_ engine: EngineStatistics) -> String {
        let state = state.withLock { $0 }
        var lines: [String] = []
        func add(_ name: String, _ kind: String, _ help: String, _ value: Int) {
            let sample = kind == "counter" ? name + "_total" : name
            lines += ["# HELP \(sample) \(help)", "# TYPE \(sample) \(kind)", "\(sample) \(value)"]
        }
        add("lightllm_request_count", "counter", "The total number of requests", state.requests)
        add("lightllm_request_success", "counter", "The number of successful requests", state.successes)
        add("lightllm_request_failure", "counter", "The number of failed requests", state.failures)
        add(
            "lightllm_request_cancelled", "counter", "The number of requests whose client went away",
            engine.cancelledRequests)
        add("lightllm_prompt_tokens", "counter", "The number of prompt tokens computed", engine.promptTokens)
        add("lightllm_generation_tokens", "counter", "The number of tokens generated", engine.generatedTokens)
        add("lightllm_engine_steps", "counter", "The number of steps the engine has run", engine.steps)
        add("lightllm_queue_size", "gauge", "The number of waiting requests", engine.waiting)
        add("lightllm_batch_current_size", "gauge", "The number of running requests", engine.running)
        add("lightllm_batch_pause_size", "gauge", "The number of paused requests", 0)
        add("lightllm_kv_slots", "gauge", "Token slots of the key-value cache", engine.totalSlots)
        add("lightllm_kv_slots_free", "gauge", "Free token slots of the key-value cache", engine.freeSlots)
        state.inference.write("lightllm_request_inference_duration", "Seconds of a request", to: &lines)
        state.firstToken.write(
            "lightllm_request_first_token_duration", "Seconds to the first token", to: &lines)
        state.perToken.write(
            "lightllm_request_mean_time_per_token_duration", "Seconds per token after the first", to: &lines)
        state.inputLength.write("lightllm_request_input_length", "Prompt tokens of a request", to: &lines)
        state.generatedTokens.write("lightllm_request_generated_tokens", "Tokens of an answer", to: &lines)
        return lines.joined(separator: "\n") + "\n"
    }
}

/// When a request began and its tokens came.
struct RequestTimer: Sendable {
    let start = ContinuousClock.now
    private(set) var firstToken: ContinuousClock.Instant?
    private(set) var tokens = 0

    mutating func countToken() {
        if firstToken == nil { firstToken = .now }
        tokens += 1
    }
}

/// How often values fell at or below each bound.
private struct Histogram {
    private let bounds: [Double]
    private var counts: [Int]
    private var sum = 0.0
    private var count = 0

    init(_ bounds: [Double]) { (self.bounds, counts) = (bounds, Array(repeating: 0, count: bounds.count)) }

    mutating func observe(_ value: Double) {
        if let index = bounds.firstIndex(where: { value <= $0 }) { counts[index] += 1 }
        (sum, count) = (sum + value, count + 1)
    }

    func write(_ name: String, _ help: String, to lines: inout [String]) {
        lines += ["# HELP \(name) \(help)", "# TYPE \(name) histogram"]
        var running = 0
        for (bound, count) in zip(bounds, counts) {
            running += count
            lines.append("\(name)_bucket{le=\"\(bound)\"} \(running)")
        }
        lines += ["\(name)_bucket{le=\"+Inf\"} \(count)", "\(name)_sum \(sum)", "\(name)_count \(count)"]
    }
}
