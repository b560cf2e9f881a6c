import JSON
import OrderedCollections

/// What came of a workload.
struct LoadReport {
    private let answers: [TimedAnswer]
    private let failures: [LoadFailure]
    private let seconds: Double

    init(_ outcomes: [Result<TimedAnswer, LoadFailure>], duration: Duration) {
        answers = outcomes.compactMap { try? $0.get() }
        failures = outcomes.compactMap { if case .failure(let failure) = $0 { failure } else { nil } }
        seconds = duration / .seconds(1)
    }

    var firstFailure: LoadFailure? { failures.first }

    private var inputTokens: Int { answers.reduce(0) { $0 + $1.promptTokens } }
    private var outputTokens: Int { answers.reduce(0) { $0 + $1.tokens } }
    private var verified: Int { answers.count(where: \.isVerified) }

    /// Milliseconds.
    private var times: [(name: String, key: JSONKey, values: Distribution)] {
        [
            ("time to first token", "ttft_ms", answers.map(\.firstToken)),
            ("per output token", "tpot_ms", answers.compactMap(\.perToken)),
            ("between chunks", "itl_ms", answers.flatMap(\.gaps)),
            ("whole answer", "latency_ms", answers.map(\.latency)),
        ].map { ($0.0, $0.1, Distribution($0.2.map { 1000 * $0 })) }
    }

    var json: JSONValue.Members {
        var object: JSONValue.Members = [
            "requests": .integer(answers.count + failures.count), "failures": .integer(failures.count),
            "verified": .integer(verified), "duration_s": JSONValue(rounding: seconds),
            "requests_per_s": JSONValue(rounding: Double(answers.count) / seconds),
            "input_tokens": .integer(inputTokens), "output_tokens": .integer(outputTokens),
            "output_tokens_per_s": JSONValue(rounding: Double(outputTokens) / seconds),
            "total_tokens_per_s": JSONValue(rounding: Double(inputTokens + outputTokens) / seconds),
        ]
        for (_, key, values) in times {
            object[key] = [
                "mean": JSONValue(rounding: values.mean), "p50": JSONValue(rounding: values.percentile(50)),
                "p90": JSONValue(rounding: values.percentile(90)),
                "p99": JSONValue(rounding: values.percentile(99)),
            ]
        }
        return object
    }

    var text: String {
        func rate(_ count: Int) -> String { formatted(Double(count) / seconds, 2) }
        let widths = [20, 10, 10, 10, 10]
        let rows = times.map { name, _, values in
            tableRow(
                [name, formatted(values.mean, 1)]
                    + [50, 90, 99].map { formatted(values.percentile($0), 1) }, widths: widths)
        }
        return """
            \(answers.count) answers (\(verified) of a length that the server confirms), \
            \(failures.count) failures, \(formatted(seconds, 2)) s
            \(rate(answers.count)) requests/s, \(rate(outputTokens)) output tokens/s, \
            \(rate(inputTokens + outputTokens)) tokens/s with the \(inputTokens) of the prompts

            \(tableRow(["milliseconds", "mean", "p50", "p90", "p99"], widths: widths))
            \(rows.joined(separator: "\n"))
            """
    }
}
