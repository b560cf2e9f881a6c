import Foundation
import Serving

/// How often values fell at or below each bound.
struct Histogram: Sendable {
    private let bounds: [Double]
    private var counts: [Int]
    private var sum = 0.0
    private var count = 0

    init(_ bounds: [Double]) { (self.bounds, counts) = (bounds, Array(repeating: 0, count: bounds.count)) }

    /// What an engine counted.
    init(_ steps: StepHistogram) {
        (bounds, counts, sum, count) = (steps.bounds, steps.counts, steps.sum, steps.count)
    }

    mutating func observe(_ value: Double) {
        if let index = bounds.firstIndex(where: { value <= $0 }) { counts[index] += 1 }
        (sum, count) = (sum + value, count + 1)
    }

    func write(_ name: String, _ help: String, labels: String = "", to text: inout MetricsText) {
        text.declare(name, .histogram, help)
        let before = labels.isEmpty ? "" : labels + ","
        var running = 0
        for (bound, count) in zip(bounds, counts) {
            running += count
            text.sample("\(name)_bucket", "\(before)le=\"\(bound)\"", Double(running))
        }
        text.sample("\(name)_bucket", "\(before)le=\"+Inf\"", Double(count))
        text.sample("\(name)_sum", labels, sum)
        text.sample("\(name)_count", labels, Double(count))
    }
}

/// Bounds that monitoring of LightLLM and of vLLM knows.
enum Buckets {
    /// Seconds, as LightLLM cuts them.
    static let durations = (1...35).map { 0.001 * pow(1.5, Double($0)) }
    static let ratios = (0...10).map { Double($0) / 10 }

    /// Tokens of a request, as LightLLM cuts them.
    static func lengths(_ most: Int) -> [Double] { (0...100).map { Double(most) / 100 * Double($0) } }

    static let firstToken = [
        0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160,
        640, 2560,
    ]
    static let betweenTokens = [
        0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80,
    ]
    static let requests = [
        0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680,
    ]
    static let answers: [Double] = [1, 2, 5, 10, 20]

    /// 1, 2, 5, 10, 20, 50, … up to `most`.
    static func tokens(_ most: Int) -> [Double] {
        var (bounds, decade): ([Double], Double) = ([], 1)
        while decade <= Double(most) {
            bounds += [1, 2, 5].map { $0 * decade }.filter { $0 <= Double(most) }
            decade *= 10
        }
        return bounds
    }
}

/// Lines of Prometheus' text format.
struct MetricsText {
    enum Kind: String {
        case counter, gauge, histogram
    }

    private(set) var lines: [String] = []
    private var declared: Set<String> = []

    /// Says what a family of samples is; once is enough, and later calls are ignored.
    mutating func declare(_ name: String, _ kind: Kind, _ help: String) {
        guard declared.insert(name).inserted else { return }
        lines += ["# HELP \(name) \(help)", "# TYPE \(name) \(kind.rawValue)"]
    }

    mutating func sample(_ name: String, _ labels: String, _ value: Double) {
        let number = value == value.rounded() && abs(value) < 1e15 ? "\(Int(value))" : "\(value)"
        lines.append(labels.isEmpty ? "\(name) \(number)" : "\(name){\(labels)} \(number)")
    }

    mutating func counter(_ name: String, _ help: String, labels: String = "", _ value: Int) {
        declare(name + "_total", .counter, help)
        sample(name + "_total", labels, Double(value))
    }

    mutating func gauge(_ name: String, _ help: String, labels: String = "", _ value: Double) {
        declare(name, .gauge, help)
        sample(name, labels, value)
    }

    /// A label's value as the format wants it.
    static func escaped(_ value: String) -> String {
        value.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"").replacing("\n", with: "\\n")
    }
}
