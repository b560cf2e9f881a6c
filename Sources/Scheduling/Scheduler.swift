/// Decides, every step, which sequences run and which slots they use. No tensors, clocks or tasks.
///
/// A policy decides when the sequence whose turn it is may run. Under `GuaranteedPolicy` it then runs to its end.
/// Whatever the policy, the slots that running sequences use never exceed the pool: should they come to, the newest
/// are paused, and computed anew when there is room.
public struct Scheduler: ~Copyable {
    public let pool: SlotPool
    let limits: SchedulerLimits
    private let sharesPrefixes: Bool
    private var policy: any AdmissionPolicy
    let tree: RadixTree
    private var forecast: Forecast
    var queue = WaitingQueue()
    /// In the order in which they began.
    private(set) var running: [ScheduledSequence] = []
    private var known: [SequenceID: ScheduledSequence] = [:]
    private var arrivals: UInt64 = 0
    private var stepsSinceLook = 0
    public private(set) var counters = SchedulerCounters()

    /// With `sharesPrefixes` what was computed of a sequence stays in the pool for those that begin alike, until
    /// its slots are needed.
    public init(
        pool: SlotPool, limits: SchedulerLimits, policy: any AdmissionPolicy = GuaranteedPolicy(),
        sharesPrefixes: Bool = true
    ) {
        (self.pool, self.limits, self.policy, self.sharesPrefixes) = (pool, limits, policy, sharesPrefixes)
        tree = RadixTree(pool: pool)
        forecast = Forecast(limits: limits)
    }

    public var waitingCount: Int { queue.count }
    public var pausedCount: Int { queue.pausedCount }
    public var runningCount: Int { running.count }
    public var isIdle: Bool { queue.count == 0 && running.isEmpty }

    /// Slots that no running sequence uses.
    public var freeSlots: Int { pool.available + tree.evictableCount }

    /// Whether a sequence of `maxSlots` could ever be admitted.
    public func canEverRun(maxSlots: Int) -> Bool { maxSlots <= pool.capacity }

    /// Queues `sequence`, unless as many wait as may.
    public mutating func add(_ sequence: ScheduledSequence) throws(QueueFull) {
        precondition(
            canEverRun(maxSlots: sequence.maxSlots), "a sequence of \(sequence.maxSlots) slots never runs")
        precondition(known[sequence.id] == nil, "sequence \(sequence.id) is here already")
        if let limit = limits.waitingSequences, queue.count >= limit { throw QueueFull(limit: limit) }
        sequence.arrival = arrivals
        arrivals += 1
        known[sequence.id] = sequence
        queue.append(sequence)
    }

    /// The next step, or nil when there is nothing to do: one token of every sequence that is past its
    /// prompt, then as much of the prompts as the step has room for.
    public mutating func next() -> Step? {
        admit()
        while !running.isEmpty {
            let items = items()
            guard items.isEmpty else {
                forecast.advance()
                return Step(items: items)
            }
            pauseNewest()
        }
        return nil
    }

    /// Tenants are charged for so many generated tokens together.
    private static let tokensPerCharge = 64

    /// Notes that `item` was computed and, at the end of its tokens, which token came next.
    public mutating func record(_ item: Step.Item, sampled token: Int32?) {
        let sequence = item.sequence
        let endsPrompt = item.isLast && sequence.isPrefilling
        sequence.advance(to: item.range.upperBound)
        if endsPrompt { share(sequence) }
        if let token {
            sequence.append(token)
            if sequence.generatedCount % Self.tokensPerCharge == 0 {
                queue.charge(sequence, Self.tokensPerCharge)
            }
        }
    }

    /// Has all tokens of the sequence computed again, because what is cached of them no longer holds. Only for
    /// those that said so (`CacheUse.recomputed`).
    public mutating func restart(_ sequence: ScheduledSequence) {
        precondition(sequence.cacheUse == .recomputed, "sequence \(sequence.id) shares what it recomputes")
        sequence.restart()
    }

    /// Forgets a sequence that came to its end. Its slots are free at once, what they hold stays while there is
    /// room.
    public mutating func finish(_ id: SequenceID) {
        if let sequence = known[id] { policy.recordFinish(generated: sequence.generatedCount) }
        remove(id)
    }

    /// Forgets the sequence; its slots are free at once. Unknown ids are ignored.
    public mutating func remove(_ id: SequenceID) {
        guard let sequence = known.removeValue(forKey: id) else { return }
        if sequence.state == .running {
            queue.charge(sequence, sequence.generatedCount % Self.tokensPerCharge)
            stop(sequence)
            sequence.state = .gone
        } else {
            queue.markGone(sequence)
        }
        queue.leave(sequence)
    }

    /// Forgets the sequences whose deadline is over and that have never run, and returns them.
    public mutating func expire(at now: ContinuousClock.Instant) -> [ScheduledSequence] {
        var expired: [ScheduledSequence] = []
        while let sequence = queue.popExpired(at: now) {
            remove(sequence.id)
            expired.append(sequence)
        }
        return expired
    }

    /// Whether `expire` may have something to do by then; nil when nothing that waits has a deadline.
    public var nextDeadline: ContinuousClock.Instant? { queue.nextDeadline }

    private mutating func stop(_ sequence: ScheduledSequence) {
        share(sequence)
        sequence.release(to: tree)
        running.removeAll { $0 === sequence }
        forecast.remove(sequence)
    }

    private func share(_ sequence: ScheduledSequence) {
        if salt(sequence) != nil { sequence.share(with: tree) }
    }

    /// The salt under which it shares; nil when it does not.
    private func salt(_ sequence: ScheduledSequence) -> CacheSalt?? {
        guard sharesPrefixes, case .shared(let salt) = sequence.cacheUse else { return nil }
        return .some(salt)
    }

    /// The most slots that the running sequences may come to use together.
    public mutating func peak() -> Int { forecast.peak(tree) }
}

/// What a scheduler has done.
public struct SchedulerCounters: Sendable, Equatable {
    /// Tokens that sequences found in the cache when they began, or went on after a pause.
    public var cachedTokens = 0
    public var pauses = 0
    public init() {}
}

// Who begins.
extension Scheduler {
    /// Sequences that wait for another's prompt and are passed over in one look.
    private static let mostPassedOver = 32

    private mutating func admit() {
        stepsSinceLook += 1
        guard queue.count > 0, running.isEmpty || stepsSinceLook >= limits.stepsBetweenLooks else { return }
        var passedOver: [ScheduledSequence] = []
        var admitsAny = false
        while running.count < limits.runningSequences, passedOver.count < Self.mostPassedOver,
            let sequence = queue.popFirst()
        {
            let prefix = prefix(of: sequence)
            guard !awaitsOther(sequence, prefix) else {
                passedOver.append(sequence)
                continue
            }
            // Alone it always has room.
            guard
                running.isEmpty
                    || forecast.admits(sequence, after: prefix, in: tree, &policy, capacity: pool.capacity)
            else {
                passedOver.append(sequence)
                break
            }
            begin(sequence, after: prefix)
            admitsAny = true
        }
        for sequence in passedOver.reversed() { queue.putBack(sequence) }
        stepsSinceLook = admitsAny ? limits.stepsBetweenLooks : 0
    }

    private mutating func begin(_ sequence: ScheduledSequence, after prefix: RadixNode) {
        tree.use(prefix)
        sequence.begin(after: prefix, in: pool)
        sequence.state = .running
        running.append(sequence)
        forecast.insert(sequence)
        counters.cachedTokens += prefix.depth
        queue.begin(sequence, sequence.tokens.count - prefix.depth)
    }

    /// Where the sequence's cached prefix ends. One token at least is left to compute.
    private func prefix(of sequence: ScheduledSequence) -> RadixNode {
        if let found = sequence.found, found.version == tree.version { return found.node }
        let salt = salt(sequence)
        let node = tree.find(
            sequence.tokens, count: salt == nil ? 0 : sequence.tokens.count - 1, salt: salt ?? nil)
        sequence.found = (node, tree.version)
        return node
    }

    /// Whether a prompt is being computed that saves this sequence at least half of its own work.
    private func awaitsOther(_ sequence: ScheduledSequence, _ prefix: RadixNode) -> Bool {
        guard let salt = salt(sequence) else { return false }
        if let other = sequence.awaited, other.state == .running, other.isPrefilling { return true }
        sequence.awaited = running.first { other in
            guard other.isPrefilling, let otherSalt = self.salt(other), otherSalt == salt else {
                return false
            }
            let gain = sequence.commonCount(other) - prefix.depth
            return gain > 0 && 2 * gain >= sequence.tokens.count - prefix.depth
        }
        return sequence.awaited != nil
    }
}

// What runs.
extension Scheduler {
    private mutating func items() -> [Step.Item] {
        while slotsForAnswers > freeSlots { pauseNewest() }
        var items: [Step.Item] = []
        items.reserveCapacity(running.count)
        var needed = 0
        func add(_ sequence: ScheduledSequence, upTo end: Int) {
            needed += max(0, end - sequence.slotCount)
            items.append(Step.Item(sequence: sequence, range: sequence.computed..<end))
        }
        for sequence in running where !sequence.isPrefilling { add(sequence, upTo: sequence.tokens.count) }
        if items.count < running.count {
            let (room, free) = (limits.tokensPerStep - items.count, freeSlots - needed)
            for part in promptParts(room: room, free: free) { add(part.sequence, upTo: part.end) }
        }
        if needed > pool.available { tree.evict(needed - pool.available) }
        for item in items {
            let isReserved = item.sequence.reserve(item.range.upperBound)
            precondition(isReserved, "a sequence found no slot")
        }
        return items
    }

    /// Slots that are needed for one token of every sequence that is past its prompt. One that is computed again has
    /// its slots.
    private var slotsForAnswers: Int {
        // Mostly there are more than enough.
        guard running.count > freeSlots else { return 0 }
        return running.count { !$0.isPrefilling && $0.slotCount < $0.tokens.count }
    }

    /// Shares `room` tokens and `free` slots among the prompts. Who came first gets half, so that long prompts
    /// come to an end; the rest goes to those that have the least left, so that short ones need not wait.
    private func promptParts(room: Int, free: Int) -> [(sequence: ScheduledSequence, end: Int)] {
        let prompts = running.filter(\.isPrefilling)
        var ends = prompts.map(\.computed)
        var (room, free) = (room, free)
        func give(_ index: Int, atMost most: Int) {
            let sequence = prompts[index]
            let left = min(sequence.tokens.count, sequence.computed + limits.chunk(sequence)) - ends[index]
            // Slots that it has already cost nothing.
            let held = max(0, sequence.slotCount - ends[index])
            let count = min(left, most, room, held + free)
            ends[index] += count
            room -= count
            free -= max(0, count - held)
        }
        give(0, atMost: (room + 1) / 2)
        let shortestFirst = prompts.indices.dropFirst().sorted {
            let (a, b) = (prompts[$0].tokens.count - ends[$0], prompts[$1].tokens.count - ends[$1])
            return (a, $0) < (b, $1)
        }
        for index in shortestFirst where room > 0 { give(index, atMost: room) }
        give(0, atMost: room)
        return prompts.indices.compactMap { index in
            ends[index] > prompts[index].computed ? (prompts[index], ends[index]) : nil
        }
    }

    /// Takes the slots of a sequence, which goes on as soon as there is room: one of the lowest priority, and the
    /// newest that uses its share of the pool or more. Giving up the few slots of one that has just begun would
    /// soon make another follow.
    mutating func pauseNewest() {
        guard !running.isEmpty else { return }
        let share = pool.capacity / running.count
        func rank(_ sequence: ScheduledSequence) -> (Int, Int, UInt64) {
            (-sequence.terms.priority, min(sequence.slotCount, share), sequence.arrival)
        }
        let last = running.max { rank($0) < rank($1) }
        guard let last else { return }
        stop(last)
        queue.prependPaused(last)
        counters.pauses += 1
    }
}

extension Scheduler {
    /// Traps when the books do not add up; for tests.
    public mutating func checkInvariants() {
        tree.checkInvariants()
        let owned = running.map { Array($0.slots[$0.sharedCount...]) } + tree.nodes().map(\.node.slots)
        precondition(pool.isConsistent(leased: owned), "a slot is lost or owned twice")
        precondition(freeSlots >= 0 && freeSlots <= pool.capacity, "free slots are miscounted")
        for sequence in running {
            precondition(sequence.slotCount <= sequence.maxSlots, "a sequence outgrew its promise")
            precondition(sequence.slotCount == sequence.slots.count, "slots are miscounted")
            precondition(
                sequence.prefix?.path() == Array(sequence.slots.prefix(sequence.sharedCount)),
                "a sequence reads slots that are not its prefix's")
        }
        if policy is GuaranteedPolicy {
            precondition(
                peak() <= pool.capacity && counters.pauses == 0, "more slots are promised than exist")
        }
    }
}
