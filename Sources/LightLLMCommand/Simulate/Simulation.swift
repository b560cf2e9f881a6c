import Scheduling
import Serving

/// The lengths of requests: LightLLM's three workloads. "Past-Future Scheduler for LLM Serving under SLA
/// Guarantees" (Gong et al. 2025).
enum SimulatedWorkload: Int, CaseIterable {
    case decodeHeavy = 1
    case balanced, prefillHeavy

    var prompts: ClosedRange<Int> {
        switch self {
        case .decodeHeavy: 32...4096
        case .balanced: 3000...5000
        case .prefillHeavy: 2048...4096
        }
    }

    var answers: ClosedRange<Int> {
        switch self {
        case .decodeHeavy: 2048...4096
        case .balanced: 3000...5000
        case .prefillHeavy: 32...4096
        }
    }

    /// What requests give as the most tokens they want. None wants more than 4096 but those that get more.
    var maxNewTokens: Int { max(4096, answers.upperBound) }
}

/// A request whose answer's length is known.
struct SimulatedRequest {
    let promptCount: Int
    let answerCount: Int
    let maxNewTokens: Int

    static func draw(_ count: Int, from lengths: SimulatedWorkload, seed: UInt64) -> [SimulatedRequest] {
        var random = SeededGenerator(seed: seed)
        return (0..<count).map { _ in
            SimulatedRequest(
                promptCount: Int.random(in: lengths.prompts, using: &random),
                answerCount: Int.random(in: lengths.answers, using: &random),
                maxNewTokens: lengths.maxNewTokens)
        }
    }
}

/// Requests that all wait from the start, run through a scheduler without a model.
///
/// A step gives a token to everyone that runs; prompts take one step whatever their length, which is what makes
/// steps comparable between policies. `steps` and the mean end when nobody waits any more: from then on memory
/// runs empty whatever the policy. Evictions and the peak count to the very end.
struct Simulation {
    private(set) var steps = 0
    /// Slots in use by running sequences, by step, to the very end.
    private(set) var use: [Int] = []
    private(set) var evictions = 0
    let slots: Int

    var meanUse: Double {
        Double(use.prefix(steps).reduce(0, +)) / Double(max(steps, 1)) / Double(slots)
    }
    var peakUse: Double { Double(use.max() ?? 0) / Double(slots) }

    init(_ requests: [SimulatedRequest], slots: Int, policy: any AdmissionPolicy) throws {
        self.slots = slots
        let pool = SlotPool(capacity: slots)
        let most = requests.reduce(requests.count) { $0 + $1.promptCount + $1.answerCount }
        let limits = SchedulerLimits(runningSequences: requests.count, tokensPerStep: most)
        var scheduler = Scheduler(pool: pool, limits: limits, policy: policy)
        for (number, request) in requests.enumerated() {
            // No prompt begins like another.
            let prompt = (0..<request.promptCount).map { Int32(truncatingIfNeeded: $0 == 0 ? number : $0) }
            try scheduler.add(
                ScheduledSequence(
                    id: SequenceID(UInt64(number)), prompt: prompt, maxNewTokens: request.maxNewTokens))
        }
        while let step = scheduler.next() {
            use.append(slots - scheduler.freeSlots)
            if scheduler.waitingCount > 0 || use.count == 1 { steps = use.count }
            for item in step.items {
                let sequence = item.sequence
                scheduler.record(item, sampled: item.isLast ? 0 : nil)
                if sequence.generatedCount == requests[Int(sequence.id.value)].answerCount {
                    scheduler.finish(sequence.id)
                }
            }
        }
        evictions = scheduler.counters.pauses
    }
}
