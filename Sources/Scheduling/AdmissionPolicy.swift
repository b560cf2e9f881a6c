/// Decides whether memory suffices for one sequence more.
///
/// A policy that lets in more than memory turns out to hold is forgiven: the scheduler pauses the newest
/// sequences.
public protocol AdmissionPolicy: Sendable {
    /// Whether `capacity` slots suffice for `holdings`: those of the running sequences and, at `newcomer`, of the
    /// one that would join them. Who may run the longest comes first.
    mutating func admits(_ holdings: [Holding], newcomer: Int, capacity: Int) -> Bool

    /// Notes that a sequence came to its end with `count` generated tokens.
    mutating func recordFinish(generated count: Int)
}

extension AdmissionPolicy {
    public mutating func recordFinish(generated count: Int) {}
}

/// The slots that a sequence uses and may come to use. Shared slots count for the one of their users that may run
/// the longest.
///
/// In step `s`, counted from 1 for the next one, it uses `min(most, base + s)` slots at most, and none after step
/// `end`.
public struct Holding: Sendable, Equatable {
    public let id: SequenceID
    public var base: Int
    public var most: Int
    public var end: Int
    /// Tokens that it has generated, and that it may still generate.
    public let generated: Int
    public let remaining: Int

    public init(id: SequenceID, base: Int, most: Int, end: Int, generated: Int, remaining: Int) {
        (self.id, self.base, self.most, self.end) = (id, base, most, end)
        (self.generated, self.remaining) = (generated, remaining)
    }

    public func slots(inStep step: Int) -> Int { min(most, base + step) }

    /// The same if no more than `count` of the remaining tokens came to be generated.
    public func generating(atMost count: Int) -> Holding {
        var shorter = self
        let missing = remaining - min(max(count, 1), remaining)
        shorter.end -= missing
        shorter.most -= missing
        return shorter
    }

    /// The most slots that `holdings`, those with the latest end first, use together in any step to come.
    ///
    /// What each uses grows until its end, so that the most are in use in the last step of one of them. With
    /// LightLLM's names: the largest `b[i] * i + (a[1] + … + a[i])`.
    public static func peak(_ holdings: [Holding]) -> Int {
        var (peak, growing, sum) = (0, 0, 0)
        // Those that are full before they end: their prompts may be through sooner than reckoned.
        var full: [Holding] = []
        for holding in holdings {
            if holding.slots(inStep: holding.end) == holding.base + holding.end {
                (growing, sum) = (growing + 1, sum + holding.base)
            } else {
                full.append(holding)
            }
            var use = sum + growing * holding.end
            for other in full { use += other.slots(inStep: holding.end) }
            peak = max(peak, use)
        }
        return peak
    }
}
