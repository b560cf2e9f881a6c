import ArgumentParser
import Scheduling
import Testing

@testable import LightLLMCommand

/// Knows how long answers become: nobody who evicts no one can do much better.
private struct OptimumPolicy: AdmissionPolicy {
    let lengths: [Int]

    mutating func admits(_ holdings: [Holding], newcomer: Int, capacity: Int) -> Bool {
        let real = holdings.map { $0.generating(atMost: lengths[Int($0.id.value)] - $0.generated) }
        return Holding.peak(real.sorted { $0.end > $1.end }) <= capacity
    }
}

@Suite struct SimulationTests {
    /// A tenth of the workload of LightLLM's paper, with memory to match.
    @Test(arguments: SimulatedWorkload.allCases)
    func policiesKeepTheirPromises(_ workload: SimulatedWorkload) throws {
        let requests = SimulatedRequest.draw(150, from: workload, seed: 1).map {
            SimulatedRequest(
                promptCount: $0.promptCount / 10 + 1, answerCount: $0.answerCount / 10 + 1,
                maxNewTokens: $0.maxNewTokens / 10 + 1)
        }
        func run(_ policy: any AdmissionPolicy) throws -> Simulation {
            try Simulation(requests, slots: 12_000, policy: policy)
        }
        let optimum = try run(OptimumPolicy(lengths: requests.map(\.answerCount)))
        let guaranteed = try run(GuaranteedPolicy())
        let conservative = try run(ConservativePolicy())
        let pastFuture = try run(PastFuturePolicy())
        let aggressive = try run(AggressivePolicy(ratio: 0.99, newTokens: 1))
        for simulation in [optimum, guaranteed, conservative, pastFuture, aggressive] {
            #expect(simulation.peakUse <= 1)
        }
        #expect(optimum.evictions == 0 && guaranteed.evictions == 0 && conservative.evictions == 0)
        #expect(Double(guaranteed.steps) < 0.9 * Double(conservative.steps))
        #expect(Double(pastFuture.steps) < 1.15 * Double(optimum.steps))
        #expect(pastFuture.meanUse > guaranteed.meanUse)
        #expect(pastFuture.evictions < aggressive.evictions / 2)
    }

    @Test func chartsShowCapacity() throws {
        let requests = SimulatedRequest.draw(3, from: .balanced, seed: 0)
        let svg = MemoryChart(
            try Simulation(requests, slots: 20_000, policy: GuaranteedPolicy()), title: "three"
        ).svg
        #expect(svg.contains("three") && svg.contains("20000 slots") && svg.contains("<polygon"))
    }

    @Test func badValuesAreRefused() {
        for arguments in [
            ["--distribution", "4"], ["--policy", "odd"], ["--slots", "8000"], ["--requests", "0"],
        ] {
            #expect(throws: (any Error).self) {
                try LightLLMCommand.parseAsRoot(normalizedFlags(["simulate"] + arguments))
            }
        }
    }
}
