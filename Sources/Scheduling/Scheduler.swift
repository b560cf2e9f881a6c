import DequeModule

/// What the engine runs next.
public struct Step {
    /// One sequence's part: the tokens at `range` are computed.
    public struct Item {
        public let sequence: ScheduledSequence
        public let range: Range<Int>
        /// Whether the part ends at the sequence's last token, so that the next one can be sampled.
        public var isLast: Bool { range.upperBound == sequence.tokens.count }
    }

    public let items: [Item]
    public var tokenCount: Int { items.reduce(0) { $0 + $1.range.count } }
}

/// The numbers a scheduler keeps to.
public struct SchedulerLimits: Sendable, Equatable {
    /// Sequences that run at the same time; at most `tokensPerStep`.
    public var runningSequences: Int
    /// Tokens computed in one step, prompts and answers together.
    public var tokensPerStep: Int
    /// Prompt tokens computed in one step for a sequence whose prompt is scored; each has a row of logits.
    public var scoredTokensPerStep: Int

    public init(runningSequences: Int = 256, tokensPerStep: Int = 512, scoredTokensPerStep: Int = 32) {
        precondition(
            runningSequences > 0 && tokensPerStep > 0 && scoredTokensPerStep > 0, "limits are positive")
        // One token each must fit, or a prompt could wait for ever.
        self.runningSequences = min(runningSequences, tokensPerStep)
        self.tokensPerStep = tokensPerStep
        self.scoredTokensPerStep = scoredTokensPerStep
    }
}

/// Decides, every step, which sequences run and which slots they own. No tensors, clocks or tasks.
///
/// First come, first served. A sequence is admitted when the slots it may come to need are free after those
/// that the running ones may still take, so an admitted sequence always runs to its end.
public struct Scheduler: ~Copyable {
    public let pool: SlotPool
    private let limits: SchedulerLimits
    private var waiting: Deque<ScheduledSequence> = []
    private var running: [ScheduledSequence] = []
    /// Slots that the running sequences own or may still take.
    private var committed = 0

    public init(pool: SlotPool, limits: SchedulerLimits) { (self.pool, self.limits) = (pool, limits) }

    public var waitingCount: Int { waiting.count }
    public var runningCount: Int { running.count }
    public var isIdle: Bool { waiting.isEmpty && running.isEmpty }

    /// Whether a sequence of `maxSlots` could ever be admitted.
    public func canEverRun(maxSlots: Int) -> Bool { maxSlots <= pool.capacity }

    public mutating func add(_ sequence: ScheduledSequence) {
        precondition(
            canEverRun(maxSlots: sequence.maxSlots), "a sequence of \(sequence.maxSlots) slots never runs")
        waiting.append(sequence)
    }

    /// The next step, or nil when there is nothing to do: one token of every sequence that is past its
    /// prompt, then as much of the prompts as the step has room for.
    public mutating func next() -> Step? {
        admit()
        var items: [Step.Item] = []
        items.reserveCapacity(running.count)
        var room = limits.tokensPerStep
        for sequence in running where !sequence.isPrefilling {
            items.append(item(sequence, upTo: sequence.tokens.count))
            room -= 1
        }
        for sequence in running where sequence.isPrefilling && room > 0 {
            let most = sequence.scoresPrompt ? min(room, limits.scoredTokensPerStep) : room
            let chunk = min(most, sequence.tokens.count - sequence.computed)
            items.append(item(sequence, upTo: sequence.computed + chunk))
            room -= chunk
        }
        return items.isEmpty ? nil : Step(items: items)
    }

    /// Notes that `item` was computed and, at the end of its tokens, which token came next.
    public mutating func record(_ item: Step.Item, sampled token: Int32?) {
        item.sequence.advance(to: item.range.upperBound)
        if let token { item.sequence.append(token) }
    }

    /// Has all tokens of the sequence computed again, because what is cached of them no longer holds.
    public mutating func restart(_ sequence: ScheduledSequence) { sequence.restart() }

    /// Forgets the sequence; its slots are free at once. Unknown ids are ignored.
    public mutating func remove(_ id: SequenceID) {
        guard let index = running.firstIndex(where: { $0.id == id }) else {
            waiting.removeAll { $0.id == id }
            return
        }
        committed -= running[index].maxSlots
        running[index].release()
        running.remove(at: index)
    }

    private mutating func admit() {
        while let first = waiting.first, running.count < limits.runningSequences,
            committed + first.maxSlots <= pool.capacity
        {
            committed += first.maxSlots
            running.append(first)
            waiting.removeFirst()
        }
    }

    private func item(_ sequence: ScheduledSequence, upTo end: Int) -> Step.Item {
        let isReserved = sequence.reserve(end, in: pool)
        precondition(isReserved, "an admitted sequence found no slot")
        return Step.Item(sequence: sequence, range: sequence.computed..<end)
    }

    /// Throws off a broken invariant by trapping; for tests.
    public func checkInvariants() {
        precondition(pool.isConsistent(leased: running.map(\.slots)), "a slot is lost or owned twice")
        precondition(committed == running.reduce(0) { $0 + $1.maxSlots }, "committed slots are miscounted")
        precondition(committed <= pool.capacity, "more slots are promised than exist")
        for sequence in running {
            precondition(sequence.slots.count <= sequence.maxSlots, "a sequence outgrew its promise")
        }
    }
}
