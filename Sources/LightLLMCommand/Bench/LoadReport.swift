import JSON
import OrderedCollections

/// What of a workload's times is reported.
struct ReportOptions: Sendable {
    var metrics = LatencyMetric.allCases
    var percentiles = PercentileList.standard
    /// Limits that good answers keep; none: goodput is not reported.
    var objectives: [ServiceObjective] = []
}

/// What came of a workload.
struct LoadReport {
    private let answers: [TimedAnswer]
    private let failures: [LoadFailure]
    private let seconds: Double
    private let options: ReportOptions

    init(
        _ outcomes: [Result<TimedAnswer, LoadFailure>], duration: Duration,
        options: ReportOptions = ReportOptions()
    ) {
        answers = outcomes.compactMap { try? $0.get() }
        failures = outcomes.compactMap { if case .failure(let failure) = $0 { failure } else { nil } }
        (seconds, self.options) = (duration / .seconds(1), options)
    }

    var firstFailure: LoadFailure? { failures.first }

    private var inputTokens: Int { answers.reduce(0) { $0 + $1.promptTokens } }
    private var outputTokens: Int { answers.reduce(0) { $0 + $1.tokens } }
    private var verified: Int { answers.count(where: \.isVerified) }
    private var requestsPerSecond: Double { Double(answers.count) / seconds }

    /// Answers that keep every limit. One that failed is none.
    private var good: Int {
        answers.count { answer in options.objectives.allSatisfy { $0.isMet(by: answer) } }
    }

    /// Seconds of a whole answer, and those divided by its tokens with and without the prompt's: the averages of
    /// LightLLM's `benchmark_serving.py`.
    private var averages: (latency: Double?, perToken: Double?, perOutputToken: Double?) {
        (
            Distribution(answers.map(\.latency)).mean,
            Distribution(answers.map { $0.latency / Double($0.promptTokens + $0.tokens) }).mean,
            Distribution(answers.map { $0.latency / Double($0.tokens) }).mean
        )
    }

    private var times: [(metric: LatencyMetric, values: Distribution)] {
        options.metrics.map { metric in (metric, Distribution(answers.flatMap(metric.values))) }
    }

    var json: JSONValue.Members {
        var object: JSONValue.Members = [
            "requests": .integer(answers.count + failures.count), "failures": .integer(failures.count),
            "verified": .integer(verified), "duration_s": JSONValue(rounding: seconds),
            "requests_per_s": JSONValue(rounding: requestsPerSecond),
            "input_tokens": .integer(inputTokens), "output_tokens": .integer(outputTokens),
            "output_tokens_per_s": JSONValue(rounding: Double(outputTokens) / seconds),
            "total_tokens_per_s": JSONValue(rounding: Double(inputTokens + outputTokens) / seconds),
        ]
        for (key, average) in [
            ("latency_s", averages.latency), ("latency_per_token_s", averages.perToken),
            ("latency_per_output_token_s", averages.perOutputToken),
        ] {
            object[JSONKey("average_" + key)] = average.map { .number($0) } ?? .null
        }
        for (metric, values) in times {
            var members: JSONValue.Members = ["mean": JSONValue(rounding: values.mean)]
            for (name, percent) in options.percentiles.values {
                members[JSONKey(name)] = JSONValue(rounding: values.percentile(percent))
            }
            // What the whole answer takes was called so before there were names for all.
            object[metric == .e2el ? "latency_ms" : JSONKey("\(metric.rawValue)_ms")] = .object(members)
        }
        if !options.objectives.isEmpty {
            object["goodput"] = [
                "objectives_ms": .array(
                    options.objectives.map { .string("\($0.metric.rawValue):\($0.milliseconds)") }),
                "good_requests": .integer(good),
                "good_requests_per_s": JSONValue(rounding: Double(good) / seconds),
            ]
        }
        return object
    }

    /// The lines of LightLLM's `benchmark_serving.py`.
    private var summary: String {
        """
        Total time: \(formatted(seconds, 2)) s
        Throughput: \(formatted(requestsPerSecond, 2)) requests/s
        Average latency: \(formatted(averages.latency, 2)) s
        Average latency per token: \(formatted(averages.perToken, 2)) s
        Average latency per output token: \(formatted(averages.perOutputToken, 2)) s
        """
    }

    var text: String {
        func rate(_ count: Int) -> String { formatted(Double(count) / seconds, 2) }
        let columns = options.percentiles.values.map { $0.percent == 50 ? "median" : $0.name }
        let widths = [20] + Array(repeating: 10, count: columns.count + 1)
        let rows = times.map { metric, values in
            tableRow(
                [metric.title, formatted(values.mean, 1)]
                    + options.percentiles.values.map { formatted(values.percentile($0.percent), 1) },
                widths: widths)
        }
        let goodput =
            options.objectives.isEmpty
            ? ""
            : """

            goodput: \(rate(good)) requests/s, \(good) of \(answers.count + failures.count) with \
            \(options.objectives.map { "\($0.metric.rawValue) <= \(formatted($0.milliseconds, 0)) ms" }
                .joined(separator: ", "))
            """
        return """
            \(summary)

            \(answers.count) answers (\(verified) of a length that the server confirms), \
            \(failures.count) failures, \(formatted(seconds, 2)) s
            \(rate(answers.count)) requests/s, \(rate(outputTokens)) output tokens/s, \
            \(rate(inputTokens + outputTokens)) tokens/s with the \(inputTokens) of the prompts\(goodput)

            \(tableRow(["milliseconds", "mean"] + columns, widths: widths))
            \(rows.joined(separator: "\n"))
            """
    }
}
