import JSON
import LightLLM
import Testing

@testable import LightLLMCommand

@Suite struct WorkloadTests {
    private func workload(count: Int = 200, seed: UInt64 = 278, pace: Pace = .concurrency(4)) -> Workload {
        Workload(
            count: count, seed: seed, input: LengthDistribution(mean: 165, deviation: 0.85, cap: 512),
            output: LengthDistribution(mean: 178, deviation: 0.75, cap: 512), vocabularySize: 3200, pace: pace
        )
    }

    @Test func aSeedDecidesTheRequests() {
        let plan = workload().plan()
        #expect(plan.count == 200 && plan == workload().plan())
        #expect(plan != workload(seed: 279).plan())
        #expect(Set(plan.map { $0.prompt.json.serialized }).count == 200)
        // Fewer requests are the first of many, and another pace changes nothing but arrivals.
        #expect(workload(count: 50).plan() == Array(plan.prefix(50)))
        #expect(workload(pace: .rate(2)).plan().map(\.prompt) == plan.map(\.prompt))
        #expect(workload(pace: .rate(2)).plan().map(\.newTokens) == plan.map(\.newTokens))
    }

    @Test func lengthsAreThoseAskedFor() {
        let plan = workload(count: 20_000).plan()
        let (inputs, outputs) = (plan.map(\.prompt.count), plan.map(\.newTokens))
        for (lengths, mean) in [(inputs, 165.0), (outputs, 178.0)] {
            #expect(lengths.allSatisfy { (8...512).contains($0) })
            let found = Double(lengths.reduce(0, +)) / Double(lengths.count)
            #expect(abs(found / mean - 1) < 0.03, "\(found) tokens on average, expected \(mean)")
            // Long-tailed: the median is well below the mean, and some are cut.
            let median = Distribution(lengths.map(Double.init)).percentile(50) ?? 0
            #expect(median < 0.85 * mean && lengths.contains(512))
        }
        #expect(
            plan.allSatisfy { request in
                guard case .tokens(let tokens) = request.prompt else { return false }
                return tokens.allSatisfy { (100..<3200).contains($0) }
            })
    }

    @Test func arrivalsFollowTheRate() throws {
        let plan = workload(count: 5000, pace: .rate(4)).plan()
        let arrivals = plan.map { $0.arrival / .seconds(1) }
        #expect(arrivals[0] == 0 && zip(arrivals, arrivals.dropFirst()).allSatisfy { $0 <= $1 })
        let gaps = zip(arrivals, arrivals.dropFirst()).map { $1 - $0 }
        let mean = gaps.reduce(0, +) / Double(gaps.count)
        #expect(abs(mean * 4 - 1) < 0.05)
        // Exponential gaps have the deviation of their mean.
        let variance = gaps.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(gaps.count)
        #expect(abs(variance.squareRoot() / mean - 1) < 0.1)
        #expect(workload().plan().allSatisfy { $0.arrival == .zero })
    }
}

@Suite struct DistributionTests {
    @Test func percentilesInterpolate() {
        let values = Distribution([4, 1, 3, 2])
        #expect(values.percentile(0) == 1 && values.percentile(100) == 4)
        #expect(values.percentile(50) == 2.5 && values.percentile(90) == 3.7)
        #expect(values.mean == 2.5 && values.minimum == 1 && values.maximum == 4)
        #expect(Distribution([7]).percentile(99) == 7)
        let none = Distribution([])
        #expect(none.percentile(50) == nil && none.mean == nil && none.minimum == nil)
    }
}
