import Testing

@testable import Scheduling

@Suite struct QueueTests {
    private func scheduler(
        running: Int = 1, slots: Int = 1000, _ edit: (inout SchedulerLimits) -> Void = { _ in }
    )
        -> Scheduler
    {
        var limits = SchedulerLimits(runningSequences: running, tokensPerStep: 64)
        edit(&limits)
        return Scheduler(pool: SlotPool(capacity: slots), limits: limits)
    }

    /// In which order sequences first run, one at a time.
    private func order(_ scheduler: inout Scheduler) -> [Int] {
        var ids: [Int] = []
        while !scheduler.isIdle {
            for part in scheduler.run() where ids.last != part.id { ids.append(part.id) }
        }
        return ids
    }

    @Test func higherPrioritiesFirst() throws {
        var scheduler = scheduler()
        for (id, priority) in [0, 5, -1, 5, 0].enumerated() {
            try scheduler.add(sequence(id, [Int32(id)], 2, .own, QueueTerms(priority: priority)))
        }
        let found = order(&scheduler)
        #expect(found == [1, 3, 0, 4, 2])
    }

    /// Two tenants with long queues and one that comes late take turns by tokens: the one with prompts of 30 gets
    /// one turn where the one with prompts of 10 gets about three.
    @Test func tenantsTakeTurnsByTokens() throws {
        var scheduler = scheduler()
        let (a, b, c) = (Tenant("a"), Tenant("b"), Tenant("c"))
        for id in 0..<8 {
            try scheduler.add(
                sequence(id, Array(repeating: Int32(id), count: 29), 1, .own, QueueTerms(tenant: a)))
        }
        for id in 8..<20 {
            try scheduler.add(
                sequence(id, Array(repeating: Int32(id), count: 9), 1, .own, QueueTerms(tenant: b)))
        }
        var ids: [Int] = []
        for _ in 0..<8 { ids += scheduler.run().map(\.id) }
        #expect(ids == [0, 8, 9, 10, 1, 11, 12, 13])
        try scheduler.add(sequence(20, [1], 1, .own, QueueTerms(tenant: c)))
        ids = []
        for _ in 0..<2 { ids += scheduler.run().map(\.id) }
        // It starts level with whose turn it was last: soon, but not with all the turns that it missed.
        #expect(ids.contains(20))
    }

    @Test func expiredSequencesAreHandedBack() throws {
        var scheduler = scheduler()
        let start = ContinuousClock.now
        for id in 0..<4 {
            let deadline = start + .seconds(id)
            try scheduler.add(sequence(id, [1], 3, .own, QueueTerms(deadline: deadline)))
        }
        _ = scheduler.run()
        // The first runs by now; deadlines only bound the wait.
        let expired = scheduler.expire(at: start + .seconds(2)).map(\.id.value)
        #expect(expired == [1, 2])
        let next = scheduler.nextDeadline
        #expect(next == start + .seconds(3))
        let found = order(&scheduler)
        #expect(found == [0, 3])
    }

    @Test func aFullQueueRefuses() throws {
        var scheduler = scheduler { $0.waitingSequences = 2 }
        try scheduler.add(sequence(0, [1], 3))
        _ = scheduler.run()
        try scheduler.add(sequence(1, [1], 3))
        try scheduler.add(sequence(2, [1], 3))
        do throws(QueueFull) {
            try scheduler.add(sequence(3, [1], 3))
            Issue.record("a third one waits")
        } catch { #expect(error == QueueFull(limit: 2)) }
        scheduler.remove(SequenceID(2))
        try scheduler.add(sequence(3, [1], 3))
        let found = order(&scheduler)
        #expect(found == [0, 1, 3])
    }

    /// Clients that give up while the queue does not move leave nothing behind.
    @Test func cancelledSequencesAreLetGo() throws {
        var scheduler = scheduler()
        try scheduler.add(sequence(0, [1], 900))
        _ = scheduler.run()
        weak var last: ScheduledSequence?
        for id in 1..<1000 {
            let one = sequence(id, [1], 2, .own, QueueTerms(priority: id % 7, deadline: .now + .seconds(9)))
            if id < 900 { last = one }
            try scheduler.add(one)
            scheduler.remove(one.id)
        }
        let waiting = scheduler.waitingCount
        #expect(waiting == 0 && last == nil)
    }

    /// The longest prompt gets half of what a step has room for, the shortest the rest; answers go on meanwhile.
    @Test func longPromptsHoldNobodyUp() throws {
        var scheduler = scheduler(running: 8)
        try scheduler.add(sequence(0, [1], 50, .own))
        _ = scheduler.run()
        try scheduler.add(sequence(1, Array(repeating: 2, count: 640), 1, .own))
        try scheduler.add(sequence(2, Array(repeating: 3, count: 40), 1, .own))
        try scheduler.add(sequence(3, Array(repeating: 4, count: 20), 1, .own))
        var steps: [[Int: Int]] = []
        while !scheduler.isIdle {
            steps.append(Dictionary(uniqueKeysWithValues: scheduler.run().map { ($0.id, $0.range.count) }))
        }
        #expect(steps[0] == [0: 1, 1: 32, 3: 20, 2: 11])
        #expect(steps[1] == [0: 1, 1: 34, 2: 29])
        #expect(steps.prefix(12).allSatisfy { $0[0] == 1 && $0.values.reduce(0, +) <= 64 })
        // Nothing is wasted: 700 prompt tokens beside one answer, 63 a step.
        #expect(steps.lastIndex { $0[1] != nil } == 11)
    }

    /// The second fits from the tenth step that it waits on; with a look every five it is found at the eleventh.
    @Test(arguments: [(1, 10), (5, 11)])
    func looksRarelyWhenAsked(_ stepsBetweenLooks: Int, _ expected: Int) throws {
        var scheduler = scheduler(running: 2, slots: 30) { $0.stepsBetweenLooks = stepsBetweenLooks }
        try scheduler.add(sequence(0, [1], 20, .own))
        _ = scheduler.run()
        try scheduler.add(sequence(1, [1], 20, .own))
        var waits = 0
        while scheduler.waitingCount > 0 {
            _ = scheduler.run()
            waits += 1
        }
        #expect(waits == expected)
    }

    /// A step of 256 running sequences while 10,000 wait takes a time that no model would notice.
    @Test func stepsAreCheap() throws {
        var limits = SchedulerLimits(runningSequences: 257, tokensPerStep: 512)
        limits.waitingSequences = nil
        var scheduler = Scheduler(pool: SlotPool(capacity: 256 * 300), limits: limits)
        for id in 0..<10_256 {
            try scheduler.add(sequence(id, (0..<100).map { Int32(id + $0) }, 200 + id % 7))
        }
        for _ in 0..<150 { _ = scheduler.run() }
        let (running, waiting) = (scheduler.runningCount, scheduler.waitingCount)
        #expect(running >= 256 && waiting >= 9_000)
        let steps = 40
        let duration = ContinuousClock().measure { for _ in 0..<steps { _ = scheduler.run() } }
        // Without optimisation it takes some twenty times as long.
        #expect(duration / steps < .milliseconds(20))
    }
}
