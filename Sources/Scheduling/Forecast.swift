/// What the running sequences use of the pool and may come to use.
///
/// Once a prompt is through nothing about its sequence is uncertain but an early end, so that what was reckoned then
/// holds from step to step.
struct Forecast {
    private let limits: SchedulerLimits
    /// The running sequences, the latest end first as of the last look.
    private var entries: [Entry] = []
    /// Steps so far.
    private var now = 0
    /// The state of the tree for which `Entry.outside` holds.
    private var countedVersion: UInt64?
    private var mark: UInt64 = 0
    // Kept from look to look for its memory.
    private var holdings: [Holding] = []

    /// A sequence that runs or might. Steps count from the scheduler's first.
    private struct Entry {
        let sequence: ScheduledSequence
        let newTokens: Int
        /// Whether its prompt is through.
        var isSettled = false
        /// In step `s` it uses `level + s` slots at most, but no more than `most`; and none after `end`.
        var level = 0
        let most: Int
        var end = 0
        /// The step in which its last token would be chosen if one came in every step from now on.
        var last = 0
        /// Minus those of its slots that count for others.
        var outside = 0

        init(_ sequence: ScheduledSequence) {
            (self.sequence, most) = (sequence, sequence.maxSlots)
            newTokens = sequence.maxCount - sequence.promptCount
        }

        mutating func reckon(computed: Int, _ work: PromptWork, now: Int) {
            let (count, left) = (sequence.tokens.count, sequence.maxCount - sequence.tokens.count)
            last = now + left
            guard sequence.cacheUse != .recomputed else {
                (level, end) = (most, Forecast.never)
                return
            }
            let span = work.span(sequence, computed: computed)
            level = count - span.first - now
            end = span.last.map { now + $0 + left - 1 } ?? Forecast.never
            isSettled = !sequence.isPrefilling
        }
    }

    /// An end that nobody can tell.
    private static let never = 1 << 40

    init(limits: SchedulerLimits) { self.limits = limits }

    mutating func insert(_ sequence: ScheduledSequence) { entries.append(Entry(sequence)) }

    mutating func remove(_ sequence: ScheduledSequence) { entries.removeAll { $0.sequence === sequence } }

    /// Notes that a step is under way: everyone whose prompt is through gets a token.
    mutating func advance() { now += 1 }

    /// Whether `policy` lets `newcomer` join, whose cached prefix is `prefix`.
    mutating func admits(
        _ newcomer: ScheduledSequence, after prefix: RadixNode, in tree: RadixTree,
        _ policy: inout any AdmissionPolicy, capacity: Int
    ) -> Bool {
        var work = PromptWork(limits: limits, sequences: entries.count + 1)
        work.add(newcomer, tokens: newcomer.tokens.count - prefix.depth)
        refresh(&work)
        var entry = Entry(newcomer)
        entry.reckon(computed: prefix.depth, work, now: now)
        let index = entries.firstIndex { $0.end < entry.end } ?? entries.count
        if prefix.depth == 0 {
            countShared(tree)
        } else {
            // It may outlive those that its prefix counts for now.
            mark += 1
            for other in 0..<index { entries[other].outside = outside(entries[other].sequence.prefix) }
            entry.outside = outside(prefix)
            for other in index..<entries.count {
                entries[other].outside = outside(entries[other].sequence.prefix)
            }
            countedVersion = nil
        }
        holdings.removeAll(keepingCapacity: true)
        for other in 0..<index { holdings.append(holding(entries[other])) }
        holdings.append(holding(entry))
        for other in index..<entries.count { holdings.append(holding(entries[other])) }
        return policy.admits(holdings, newcomer: index, capacity: capacity)
    }

    /// The most slots that the running sequences may come to use together.
    mutating func peak(_ tree: RadixTree) -> Int {
        var work = PromptWork(limits: limits, sequences: entries.count)
        refresh(&work)
        countShared(tree)
        return Holding.peak(entries.map(holding))
    }

    /// Reckons anew what may have changed, and sorts by end. Ends hardly change places, so that insertion is quick.
    private mutating func refresh(_ work: inout PromptWork) {
        for index in entries.indices where !entries[index].isSettled {
            let sequence = entries[index].sequence
            if sequence.isPrefilling { work.add(sequence, tokens: sequence.tokens.count - sequence.computed) }
        }
        for index in entries.indices where !entries[index].isSettled {
            entries[index].reckon(computed: entries[index].sequence.computed, work, now: now)
        }
        for index in entries.indices.dropFirst() where entries[index - 1].end < entries[index].end {
            let entry = entries.remove(at: index)
            entries.insert(entry, at: entries[..<index].firstIndex { $0.end < entry.end } ?? index)
            countedVersion = nil
        }
    }

    private mutating func countShared(_ tree: RadixTree) {
        guard countedVersion != tree.useVersion else { return }
        mark += 1
        for index in entries.indices { entries[index].outside = outside(entries[index].sequence.prefix) }
        countedVersion = tree.useVersion
    }

    /// Minus the slots of a prefix that have been counted for others.
    private func outside(_ prefix: RadixNode?) -> Int {
        var counted = 0
        var next = prefix
        while let node = next, node.mark != mark {
            node.mark = mark
            counted += node.tokens.count
            next = node.parent
        }
        return counted - (prefix?.depth ?? 0)
    }

    private func holding(_ entry: Entry) -> Holding {
        let remaining = entry.last - now
        return Holding(
            id: entry.sequence.id, base: entry.level + now + entry.outside, most: entry.most + entry.outside,
            end: entry.end - now, generated: entry.newTokens - remaining, remaining: remaining)
    }
}

/// The prompts that are to be computed, and how long that may take.
///
/// A step either has room for all that may be computed of the prompts, or computes `rate` tokens of them at least:
/// no more than the other sequences take one token each.
struct PromptWork {
    /// The step in which a sequence's next token is chosen, counted from 1 for the next one: the first and the last
    /// possible one; nil when nobody can tell.
    struct Span {
        let first: Int
        let last: Int?
    }

    private let limits: SchedulerLimits
    private let rate: Int
    private var tokens = 0
    /// Some are computed again and again.
    private var isEndless = false

    /// For `sequences` that run together.
    init(limits: SchedulerLimits, sequences: Int) {
        self.limits = limits
        rate = max(1, limits.tokensPerStep - sequences + 1)
    }

    /// Adds a prompt of which `tokens` are left to compute.
    mutating func add(_ sequence: ScheduledSequence, tokens: Int) {
        self.tokens += tokens
        if sequence.cacheUse == .recomputed { isEndless = true }
    }

    func span(_ sequence: ScheduledSequence, computed: Int) -> Span {
        let left = sequence.tokens.count - computed
        // One whose prompt is through is computed in every step.
        if left == 1, computed >= sequence.promptCount { return Span(first: 1, last: 1) }
        let chunk = limits.chunk(sequence)
        let first = (left + chunk - 1) / chunk
        if isEndless { return Span(first: first, last: nil) }
        return Span(first: first, last: tokens / rate + (sequence.scoresPrompt ? first : 1))
    }
}
