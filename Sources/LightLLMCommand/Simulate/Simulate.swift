import ArgumentParser
import Foundation
import JSON
import Scheduling

/// Compares admission policies without a model.
struct Simulate: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Run requests of random lengths through the scheduler, without a model.",
        discussion: """
            A step gives a token to every running request; a prompt takes one step. Steps and mean use count \
            while requests wait, evictions and peak to the end.
            """)

    @Option(
        name: .customLong("distribution"),
        help: "1: long answers, 2: long prompts and answers, 3: long prompts.")
    var distribution = 1

    @Option(name: .customLong("policy"), help: "guaranteed, past-future, aggressive or conservative.")
    var policy = PolicyName.guaranteed

    @Option(name: .customLong("requests"), help: "Requests, all there from the start.")
    var requests = 800

    @Option(name: .customLong("slots"), help: "Token slots of the cache.")
    var slots = 120_000

    @Option(name: .customLong("seed"), help: "The same seed draws the same lengths.")
    var seed: UInt64 = 0

    @Flag(name: .customLong("json"), help: "Print a JSON object.")
    var printsJSON = false

    @Option(name: .customLong("svg"), help: "A file to draw memory over time in.")
    var svg: String?

    func validate() throws {
        try require((1...3).contains(distribution), "distribution", "1, 2 or 3", distribution)
        try require((1...1_000_000).contains(requests), "requests", "between 1 and 1000000", requests)
        let longest = lengths.prompts.upperBound + lengths.maxNewTokens
        try require(
            (longest...Int(Int32.max)).contains(slots), "slots", "at least \(longest), the longest request",
            slots)
    }

    private var lengths: SimulatedWorkload { SimulatedWorkload(rawValue: distribution) ?? .decodeHeavy }

    func run() throws {
        let drawn = SimulatedRequest.draw(requests, from: lengths, seed: seed)
        // Nothing is expected of an answer but what it has: as many run as memory holds now.
        let simulation = try Simulation(drawn, slots: slots, policy: policy.policy(ratio: 0.99, newTokens: 1))
        if let svg {
            let title = "\(policy.rawValue), distribution \(distribution), \(requests) requests"
            try Data(MemoryChart(simulation, title: title).svg.utf8).write(to: URL(fileURLWithPath: svg))
        }
        print(printsJSON ? json(simulation).serialized : table(simulation))
    }

    private func json(_ simulation: Simulation) -> JSONValue {
        [
            "steps": .integer(simulation.steps), "mean_use": .number(simulation.meanUse),
            "peak_use": .number(simulation.peakUse), "evicted": .integer(simulation.evictions),
        ]
    }

    private func table(_ simulation: Simulation) -> String {
        """
        steps     \(simulation.steps)
        mean use  \(String(format: "%.2f", 100 * simulation.meanUse)) %
        peak use  \(String(format: "%.2f", 100 * simulation.peakUse)) %
        evicted   \(simulation.evictions)
        """
    }
}
