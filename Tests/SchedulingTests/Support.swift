import Scheduling

struct Random: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return state ^ state >> 31
    }
}

func sequence(
    _ id: Int, _ prompt: [Int32], _ new: Int, _ use: CacheUse = .shared(nil),
    _ terms: QueueTerms = QueueTerms()
) -> ScheduledSequence {
    ScheduledSequence(
        id: SequenceID(UInt64(id)), prompt: prompt, maxNewTokens: new, cacheUse: use, terms: terms)
}

extension Scheduler {
    /// Runs one step with a model that always says 1. Returns the parts that ran; sequences that are full are
    /// finished.
    mutating func run() -> [(id: Int, range: Range<Int>)] {
        guard let step = next() else { return [] }
        for item in step.items {
            record(item, sampled: item.isLast ? 1 : nil)
            if item.sequence.tokens.count == item.sequence.maxCount { finish(item.sequence.id) }
        }
        return step.items.map { (Int($0.sequence.id.value), $0.range) }
    }
}
