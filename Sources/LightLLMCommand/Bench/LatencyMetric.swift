import ArgumentParser

/// A time that a user feels, under the names that vLLM's benchmark uses.
enum LatencyMetric: String, CaseIterable, Sendable {
    /// To the first token.
    case ttft
    /// Per token after the first, on average over an answer.
    case tpot
    /// Between chunks.
    case itl
    /// Of the whole answer, from end to end.
    case e2el

    var title: String {
        switch self {
        case .ttft: "time to first token"
        case .tpot: "per output token"
        case .itl: "between chunks"
        case .e2el: "whole answer"
        }
    }

    /// What an answer adds to the distribution, in milliseconds.
    func values(_ answer: TimedAnswer) -> [Double] {
        let seconds =
            switch self {
            case .ttft: answer.firstToken.map { [$0] } ?? []
            case .tpot: answer.perToken.map { [$0] } ?? []
            case .itl: answer.gaps
            case .e2el: [answer.latency]
            }
        return seconds.map { 1000 * $0 }
    }

    /// The time of an answer that counts against a limit, in milliseconds: the longest there is. An answer of one token
    /// waits for no other.
    func worst(_ answer: TimedAnswer) -> Double { values(answer).max() ?? 0 }
}

/// A limit that an answer must keep to be a good one: `ttft:200`, in milliseconds. For `itl` it is the longest gap that
/// counts.
struct ServiceObjective: ExpressibleByArgument, Sendable, Equatable {
    let metric: LatencyMetric
    let milliseconds: Double

    init(_ metric: LatencyMetric, milliseconds: Double) {
        (self.metric, self.milliseconds) = (metric, milliseconds)
    }

    init?(argument: String) {
        let words = argument.split(separator: ":", omittingEmptySubsequences: false)
        guard words.count == 2, let metric = LatencyMetric(rawValue: String(words[0])),
            let limit = Double(words[1]), limit > 0, limit.isFinite
        else { return nil }
        self.init(metric, milliseconds: limit)
    }

    func isMet(by answer: TimedAnswer) -> Bool { metric.worst(answer) <= milliseconds }
}

/// Names of metrics separated by commas.
struct MetricList: ExpressibleByArgument {
    let values: [LatencyMetric]

    static let all = MetricList(values: LatencyMetric.allCases)

    private init(values: [LatencyMetric]) { self.values = values }

    init?(argument: String) {
        let words = argument.split(separator: ",", omittingEmptySubsequences: false)
        values = words.compactMap { LatencyMetric(rawValue: String($0)) }
        guard values.count == words.count else { return nil }
    }

    var defaultValueDescription: String { values.map(\.rawValue).joined(separator: ",") }
}

/// Percentiles separated by commas, as they are written.
struct PercentileList: ExpressibleByArgument, Sendable {
    let values: [(name: String, percent: Double)]

    static let standard = PercentileList(values: [("p50", 50), ("p90", 90), ("p95", 95), ("p99", 99)])

    private init(values: [(name: String, percent: Double)]) { self.values = values }

    init?(argument: String) {
        let words = argument.split(separator: ",", omittingEmptySubsequences: false)
        values = words.compactMap { word in
            guard let percent = Double(word), (0...100).contains(percent) else { return nil }
            return ("p\(word)", percent)
        }
        guard values.count == words.count else { return nil }
    }

    var defaultValueDescription: String { values.map { String($0.name.dropFirst()) }.joined(separator: ",") }
}
