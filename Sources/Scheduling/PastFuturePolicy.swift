/// Expects answers to be as long as those before were. After "Past-Future Scheduler for LLM Serving under SLA
/// Guarantees" (Gong et al. 2025), worked out instead of sampled.
///
/// An answer of `g` tokens goes on to `x` with the probability that earlier ones of more than `g` did. From that
/// come, for every step ahead, the mean and the variance of the slots in use; a sequence is let in when the mean
/// and `deviations` standard deviations stay within memory.
public struct PastFuturePolicy: AdmissionPolicy {
    private let deviations: Double
    private let window: Int
    private let samples: Int
    /// The lengths of the last answers: the oldest is at `next`. The same ascending.
    private var history: [Int] = []
    private var next = 0
    private var ascending: [Int] = []
    /// Steps ahead that are looked at.
    private static let points = 48

    /// Looks back on `window` answers. Until there are `samples` of them, answers are expected to become the
    /// longer the fewer there are.
    public init(deviations: Double = 1.5, window: Int = 1000, samples: Int = 8) {
        (self.deviations, self.window, self.samples) = (deviations, window, samples)
    }

    public mutating func recordFinish(generated count: Int) {
        if history.count < window {
            history.append(count)
        } else {
            ascending.remove(at: firstIndex(atLeast: history[next]))
            history[next] = count
            next = (next + 1) % window
        }
        ascending.insert(count, at: firstIndex(atLeast: count))
    }

    public mutating func admits(_ holdings: [Holding], newcomer: Int, capacity: Int) -> Bool {
        guard let last = holdings.first?.end else { return true }
        // Answers as long as they may be, to make up for those that are missing; one always.
        let assumed = Double(max(1, samples - history.count))
        let alive = holdings.map { assumed + count(longerThan: $0.generated) }
        for point in 1...Self.points {
            // Closer together near by, where more is known.
            let share = Double(point) / Double(Self.points)
            let step = max(1, Int(share * share * Double(min(last, 1 << 30))))
            var (mean, variance) = (0.0, 0.0)
            for (holding, alive) in zip(holdings, alive) where holding.end >= step {
                let slots = Double(holding.slots(inStep: step))
                // A step in which its `length`-th token is computed.
                let length = holding.generated + holding.remaining - (holding.end - step)
                let probability = min(1, (assumed + count(longerThan: length - 1)) / alive)
                mean += probability * slots
                variance += probability * (1 - probability) * slots * slots
            }
            if mean + deviations * variance.squareRoot() > Double(capacity) { return false }
        }
        return true
    }

    /// How many answers had more than `length` tokens.
    private func count(longerThan length: Int) -> Double {
        Double(ascending.count - firstIndex(atLeast: length + 1))
    }

    private func firstIndex(atLeast length: Int) -> Int {
        var (low, high) = (0, ascending.count)
        while low < high {
            let middle = (low + high) / 2
            if ascending[middle] < length { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
