import Foundation
import JSON
import Serving

/// Lengths as conversations have them (ShareGPT): lognormal, cut at both ends.
struct LengthDistribution: Sendable {
    static let shortest = 8

    let mean: Double
    /// The standard deviation of the logarithm.
    let deviation: Double
    let cap: Int

    func draw(_ random: inout SeededGenerator) -> Int {
        // A lognormal's mean is exp(center + deviation² / 2). The cut takes from it what the 8 % add.
        let center = log(mean * 1.08) - deviation * deviation / 2
        let length = exp(center + deviation * random.nextNormal())
        return Int(min(Double(cap), max(Double(Self.shortest), length)))
    }
}

/// How requests follow each other.
enum Pace: Sendable, Equatable {
    /// So many are always in flight.
    case concurrency(Int)
    /// So many arrive each second on average, at moments independent of each other (a Poisson process); an infinite
    /// rate sends all at once.
    case rate(Double)
}

/// What a model is to continue.
enum Prompt: Sendable, Equatable {
    case tokens([Int32])
    /// With the number of tokens that a tokenizer finds in it.
    case text(String, tokens: Int)

    var count: Int {
        switch self {
        case .tokens(let tokens): tokens.count
        case .text(_, let count): count
        }
    }

    var json: JSONValue {
        switch self {
        case .tokens(let tokens): .array(tokens.map { .integer(Int($0)) })
        case .text(let text, _): .string(text)
        }
    }
}

/// A request of a workload.
struct PlannedRequest: Sendable, Equatable {
    /// How long after the start it may be sent.
    let arrival: Duration
    let prompt: Prompt
    let newTokens: Int
}

/// Requests as conversations would make them; the same seed plans the same.
struct Workload: Sendable {
    let count: Int
    let seed: UInt64
    let input: LengthDistribution
    let output: LengthDistribution
    let vocabularySize: Int
    let pace: Pace

    func plan() -> [PlannedRequest] {
        // Generators of their own, so that another pace or vocabulary leaves the lengths as they are.
        var lengths = SeededGenerator(seed: seed)
        var tokens = SeededGenerator(seed: seed &+ 1)
        var gaps = SeededGenerator(seed: seed &+ 2)
        var arrival = Duration.zero
        return (0..<count).map { _ in
            defer { if case .rate(let rate) = pace { arrival += .seconds(gaps.nextExponential() / rate) } }
            let (input, output) = (input.draw(&lengths), output.draw(&lengths))
            return PlannedRequest(
                arrival: arrival, prompt: .tokens(prompt(input, &tokens)), newTokens: output)
        }
    }

    /// Two short requests that bring a server to its working temperature.
    func warmup() -> [PlannedRequest] {
        var tokens = SeededGenerator(seed: seed &+ 3)
        return (0..<2).map { _ in
            PlannedRequest(arrival: .zero, prompt: .tokens(prompt(16, &tokens)), newTokens: 4)
        }
    }

    private func prompt(_ length: Int, _ random: inout SeededGenerator) -> [Int32] {
        // Vocabularies begin with special tokens, which some servers treat in their own ways.
        let tokens = Int32(vocabularySize / 32)..<Int32(vocabularySize)
        return (0..<length).map { _ in Int32.random(in: tokens, using: &random) }
    }
}

extension SeededGenerator {
    /// Normal with mean 0 and deviation 1 (Box and Muller 1958).
    mutating func nextNormal() -> Double {
        let radius = (2 * nextExponential()).squareRoot()
        return radius * cos(2 * .pi * nextUnit())
    }

    /// Exponential with mean 1.
    mutating func nextExponential() -> Double { -log(1 - nextUnit()) }
}
