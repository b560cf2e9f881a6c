import Scheduling
import Testing

@Suite struct SlotPoolTests {
    @Test func leasesWhatIsFreeAndTakesItBack() {
        let pool = SlotPool(capacity: 5)
        do {
            guard var lease = pool.lease(2) else { return #expect(Bool(false), "two of five slots are free") }
            let slots = lease.slots
            #expect(slots == [0, 1])
            #expect(pool.available == 3)
            let (grows, growsTooFar) = (lease.grow(by: 3), lease.grow(by: 1))
            #expect(grows && !growsTooFar)
            #expect(pool.available == 0)
            let isLeased = isLeased(pool.lease(1))
            #expect(!isLeased)
        }
        #expect(pool.available == 5)
        #expect(pool.isConsistent(leased: []))
    }

    @Test func refusesNegativeCounts() {
        let pool = SlotPool(capacity: 1)
        let isLeased = isLeased(pool.lease(-1))
        #expect(!isLeased)
    }

    private func isLeased(_ lease: consuming SlotLease?) -> Bool {
        switch consume lease {
        case .some: true
        case .none: false
        }
    }
}

@Suite struct SchedulerTests {
    /// Random requests, cancellations and answers; the books must balance after every step, every admitted
    /// sequence must get what it was promised, and at the end every slot must be free.
    @Test(arguments: 1...20)
    func keepsItsPromisesUnderLoad(_ seed: Int) throws {
        var random = Random(state: UInt64(seed))
        let pool = SlotPool(capacity: Int.random(in: 20...200, using: &random))
        let limits = SchedulerLimits(
            runningSequences: Int.random(in: 1...8, using: &random),
            tokensPerStep: Int.random(in: 8...40, using: &random),
            scoredTokensPerStep: Int.random(in: 1...5, using: &random))
        var scheduler = Scheduler(pool: pool, limits: limits)
        var alive: [SequenceID] = []
        var arrived: [SequenceID] = [], firstComputed: [SequenceID] = []
        for number in 0..<400 {
            if number < 300, Bool.random(using: &random) {
                let (prompt, new) = (
                    Int.random(in: 1...30, using: &random), Int.random(in: 1...20, using: &random)
                )
                let sequence = ScheduledSequence(
                    id: SequenceID(UInt64(number)), prompt: (0..<prompt).map { Int32($0 / 5 * (number % 4)) },
                    maxNewTokens: new,
                    scoresPrompt: number % 3 == 0)
                if scheduler.canEverRun(maxSlots: sequence.maxSlots) {
                    try scheduler.add(sequence)
                    alive.append(sequence.id)
                    arrived.append(sequence.id)
                }
            }
            if Int.random(in: 0..<10, using: &random) == 0, let victim = alive.randomElement(using: &random) {
                scheduler.remove(victim)
                alive.removeAll { $0 == victim }
                arrived.removeAll { $0 == victim && !firstComputed.contains(victim) }
            }
            scheduler.checkInvariants()
            guard let step = scheduler.next() else { continue }
            #expect(step.tokenCount <= limits.tokensPerStep)
            #expect(step.items.count <= limits.runningSequences)
            for item in step.items {
                if !firstComputed.contains(item.sequence.id) { firstComputed.append(item.sequence.id) }
                #expect(item.sequence.slots.count >= item.range.upperBound)
                #expect(Set(item.sequence.slots).count == item.sequence.slots.count)
                scheduler.record(item, sampled: item.isLast ? 1 : nil)
                if item.sequence.tokens.count == item.sequence.maxCount {
                    scheduler.remove(item.sequence.id)
                    alive.removeAll { $0 == item.sequence.id }
                }
            }
            scheduler.checkInvariants()
        }
        while let step = scheduler.next() {
            for item in step.items {
                scheduler.record(item, sampled: item.isLast ? 1 : nil)
                if item.sequence.tokens.count == item.sequence.maxCount { scheduler.remove(item.sequence.id) }
            }
        }
        let isIdle = scheduler.isIdle
        #expect(isIdle)
        let free = scheduler.freeSlots
        #expect(free == pool.capacity)
        let pauses = scheduler.counters.pauses
        #expect(pauses == 0)
    }

    @Test func admitsOnlyWhatFitsToItsEnd() throws {
        let pool = SlotPool(capacity: 10)
        var scheduler = Scheduler(pool: pool, limits: SchedulerLimits())
        let first = ScheduledSequence(id: SequenceID(1), prompt: [1, 2], maxNewTokens: 7)
        let second = ScheduledSequence(id: SequenceID(2), prompt: [1, 2], maxNewTokens: 2)
        #expect(first.maxSlots == 8 && second.maxSlots == 3)
        try scheduler.add(first)
        try scheduler.add(second)
        let firstStep = scheduler.next()?.items.map(\.sequence.id)
        #expect(firstStep == [first.id])
        // Two slots are used and eight are free, but six of those are promised.
        let counts = [scheduler.runningCount, scheduler.waitingCount]
        #expect(counts == [1, 1])
        scheduler.remove(first.id)
        let secondStep = scheduler.next()?.items.map(\.sequence.id)
        #expect(secondStep == [second.id])
        scheduler.remove(second.id)
        let free = scheduler.freeSlots
        #expect(free == 10)
    }

    @Test func cutsPromptsAndLetsAnswersPass() throws {
        var scheduler = Scheduler(
            pool: SlotPool(capacity: 100), limits: SchedulerLimits(runningSequences: 4, tokensPerStep: 5))
        let long = ScheduledSequence(
            id: SequenceID(1), prompt: Array(repeating: 1, count: 12), maxNewTokens: 3)
        let short = ScheduledSequence(id: SequenceID(2), prompt: [1], maxNewTokens: 3)
        try scheduler.add(short)
        try scheduler.add(long)
        var ranges: [[Range<Int>]] = []
        for _ in 0..<4 {
            guard let step = scheduler.next() else { break }
            ranges.append(step.items.map(\.range))
            for item in step.items { scheduler.record(item, sampled: item.isLast ? 9 : nil) }
            if short.tokens.count == short.maxCount { scheduler.remove(short.id) }
        }
        #expect(ranges == [[0..<1, 0..<4], [1..<2, 4..<8], [2..<3, 8..<12], [12..<13]])
        scheduler.remove(long.id)
    }
}
