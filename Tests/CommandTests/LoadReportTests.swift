import JSON
import LightLLM
import OrderedCollections
import Testing

@testable import LightLLMCommand

@Suite struct LoadReportTests {
    /// Four answers whose figures are worked out by hand, and a failure.
    private let outcomes: [Result<TimedAnswer, LoadFailure>] = [
        answer(prompt: 10, tokens: 5, first: 0.1, latency: 0.5, gaps: [0.1, 0.1, 0.1, 0.1]),
        answer(prompt: 20, tokens: 11, first: 0.2, latency: 1.2, gaps: [0.05, 0.95]),
        answer(prompt: 30, tokens: 1, first: 0.3, latency: 0.3, gaps: []),
        .failure(LoadFailure("broken")),
        answer(prompt: 40, tokens: 3, first: 0.4, latency: 2.0, gaps: [0.8, 0.8]),
    ]

    private static func answer(
        prompt: Int, tokens: Int, first: Double, latency: Double, gaps: [Double]
    ) -> Result<TimedAnswer, LoadFailure> {
        .success(
            TimedAnswer(
                promptTokens: prompt, tokens: tokens, isVerified: tokens > 1, firstToken: first,
                latency: latency,
                gaps: gaps))
    }

    private func report(_ change: (inout ReportOptions) -> Void = { _ in }) -> LoadReport {
        var options = ReportOptions()
        change(&options)
        return LoadReport(outcomes, duration: .seconds(4), options: options)
    }

    private func isClose(_ value: JSONValue?, _ expected: Double) -> Bool {
        value?.double.map { abs($0 - expected) < 5e-4 } ?? false
    }

    @Test func figuresAreRight() {
        let json = report().json
        #expect(json["requests"] == 5 && json["failures"] == 1 && json["verified"] == 3)
        #expect(json["input_tokens"] == 100 && json["output_tokens"] == 20)
        #expect(isClose(json["requests_per_s"], 1) && isClose(json["output_tokens_per_s"], 5))
        #expect(isClose(json["total_tokens_per_s"], 30))
        // First tokens after 100, 200, 300 and 400 ms.
        let ttft = json["ttft_ms"]
        #expect(isClose(ttft?["mean"], 250) && isClose(ttft?["p50"], 250) && isClose(ttft?["p90"], 370))
        #expect(isClose(ttft?["p95"], 385) && isClose(ttft?["p99"], 397))
        // (500 - 100) / 4, (1200 - 200) / 10 and (2000 - 400) / 2; one token alone has none.
        let tpot = json["tpot_ms"]
        #expect(
            isClose(tpot?["mean"], 1000.0 / 3) && isClose(tpot?["p50"], 100) && isClose(tpot?["p90"], 660))
        // 4 gaps of 100, and 50, 950, 800, 800.
        #expect(isClose(json["itl_ms"]?["mean"], 375) && isClose(json["itl_ms"]?["p50"], 100))
        #expect(isClose(json["latency_ms"]?["mean"], 1000) && isClose(json["latency_ms"]?["p50"], 850))
        #expect(isClose(json["average_latency_s"], 1))
        #expect(
            isClose(json["average_latency_per_token_s"], (0.5 / 15 + 1.2 / 31 + 0.3 / 31 + 2.0 / 43) / 4))
        #expect(
            isClose(json["average_latency_per_output_token_s"], (0.1 + 1.2 / 11 + 0.3 + 2.0 / 3) / 4))
        #expect(json["goodput"] == nil)
    }

    @Test(
        arguments: [
            ([.init(.ttft, milliseconds: 250)], 2), ([.init(.ttft, milliseconds: 400)], 4),
            ([.init(.tpot, milliseconds: 100.1)], 3), ([.init(.itl, milliseconds: 800.1)], 3),
            ([.init(.e2el, milliseconds: 1200)], 3),
            (
                [
                    .init(.ttft, milliseconds: 350), .init(.tpot, milliseconds: 150),
                    .init(.itl, milliseconds: 500),
                ], 2
            ),
            ([.init(.e2el, milliseconds: 1)], 0),
        ] as [([ServiceObjective], Int)])
    func goodAnswersKeepEveryLimit(_ objectives: [ServiceObjective], _ good: Int) {
        let report = report { $0.objectives = objectives }
        #expect(report.json["goodput"]?["good_requests"] == .integer(good))
        #expect(isClose(report.json["goodput"]?["good_requests_per_s"], Double(good) / 4))
        #expect(report.text.contains("\(good) of 5 with \(objectives[0].metric.rawValue) <= "))
    }

    @Test func theFirstLinesAreThoseOfBenchmarkServing() {
        let lines = report().text.split(separator: "\n", omittingEmptySubsequences: false)
        #expect(
            lines.prefix(6) == [
                "Total time: 4.00 s", "Throughput: 1.00 requests/s", "Average latency: 1.00 s",
                "Average latency per token: 0.03 s", "Average latency per output token: 0.29 s", "",
            ])
    }

    @Test func metricsAndPercentilesAreThoseAskedFor() throws {
        let percentiles = try #require(PercentileList(argument: "25,99.9"))
        let json = report { ($0.metrics, $0.percentiles) = ([.e2el], percentiles) }.json
        #expect(json["ttft_ms"] == nil && json["latency_ms"]?.object?.keys == ["mean", "p25", "p99.9"])
        #expect(isClose(json["latency_ms"]?["p25"], 450))
    }

    @Test func nothingIsNoRate() {
        let report = LoadReport([.failure(LoadFailure("x"))], duration: .seconds(1))
        #expect(report.json["average_latency_s"] == .null && report.text.contains("Average latency: - s"))
    }
}
