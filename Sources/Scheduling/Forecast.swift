/// What the running sequences use of the pool and may come to use.
struct Forecast {
    private let limits: SchedulerLimits
    /// The running sequences, the latest end first as of the last look.
    private var sequences: [ScheduledSequence] = []
    // Kept from look to look for its memory.
    private var holdings: [Holding] = []
    private var mark: UInt64 = 0

    /// An end that nobody can tell.
    private static let never = 1 << 40

    init(limits: SchedulerLimits) { self.limits = limits }

    mutating func insert(_ sequence: ScheduledSequence) { sequences.append(sequence) }

    mutating func remove(_ sequence: ScheduledSequence) { sequences.removeAll { $0 === sequence } }

    /// Whether `policy` lets `newcomer` join, whose cached prefix is `prefix`.
    mutating func admits(
        _ newcomer: ScheduledSequence, after prefix: RadixNode, _ policy: inout any AdmissionPolicy,
        capacity: Int
    ) -> Bool {
        let prompts = PromptWork(
            sequences, and: newcomer, uncached: newcomer.tokens.count - prefix.depth, limits)
        sort(prompts)
        newcomer.end = end(newcomer, prompts.span(newcomer, computed: prefix.depth))
        let index = sequences.firstIndex { $0.end < newcomer.end } ?? sequences.count
        begin()
        for sequence in sequences[..<index] { append(sequence, sequence.prefix, sequence.computed, prompts) }
        append(newcomer, prefix, prefix.depth, prompts)
        for sequence in sequences[index...] { append(sequence, sequence.prefix, sequence.computed, prompts) }
        return policy.admits(holdings, newcomer: index, capacity: capacity)
    }

    /// The most slots that the running sequences may come to use together.
    mutating func peak() -> Int {
        let prompts = PromptWork(sequences, and: nil, uncached: 0, limits)
        sort(prompts)
        begin()
        for sequence in sequences { append(sequence, sequence.prefix, sequence.computed, prompts) }
        return Holding.peak(holdings)
    }

    /// Sorts by end. Ends hardly change places from step to step, so that insertion is quick.
    private mutating func sort(_ prompts: PromptWork) {
        for index in sequences.indices {
            let sequence = sequences[index]
            sequence.end = end(sequence, prompts.span(sequence, computed: sequence.computed))
            var place = index
            while place > 0, sequences[place - 1].end < sequence.end { place -= 1 }
            if place < index {
                sequences.remove(at: index)
                sequences.insert(sequence, at: place)
            }
        }
    }

    private func end(_ sequence: ScheduledSequence, _ span: PromptWork.Span) -> Int {
        guard sequence.cacheUse != .recomputed, let last = span.last else { return Self.never }
        return last + sequence.maxCount - sequence.tokens.count - 1
    }

    private mutating func begin() {
        mark += 1
        holdings.removeAll(keepingCapacity: true)
    }

    private mutating func append(
        _ sequence: ScheduledSequence, _ prefix: RadixNode?, _ computed: Int, _ prompts: PromptWork
    ) {
        // What it shares with one that runs longer has been counted.
        var counted = 0
        var next = prefix
        while let node = next, node.mark != mark {
            node.mark = mark
            counted += node.tokens.count
            next = node.parent
        }
        let most = sequence.maxSlots - (prefix?.depth ?? 0) + counted
        let base = most - sequence.maxSlots + sequence.tokens.count
        let span = prompts.span(sequence, computed: computed)
        holdings.append(
            Holding(
                id: sequence.id, base: sequence.cacheUse == .recomputed ? most : base - span.first,
                most: most,
                end: sequence.end, generated: sequence.generatedCount,
                remaining: sequence.maxCount - sequence.tokens.count))
    }
}

/// The prompts that are to be computed, and how long that may take.
///
/// A step either has room for all that may be computed of the prompts, or computes `rate` tokens of them at least:
/// no more than the other sequences take one token each.
struct PromptWork {
    /// The step in which a sequence's next token is chosen: the first and the last possible one; nil when nobody
    /// can tell.
    struct Span {
        let first: Int
        let last: Int?
    }

    private let limits: SchedulerLimits
    private var tokens = 0
    private let rate: Int
    /// Some are computed again and again.
    private var isEndless = false

    init(
        _ sequences: [ScheduledSequence], and newcomer: ScheduledSequence?, uncached: Int,
        _ limits: SchedulerLimits
    ) {
        self.limits = limits
        rate = max(1, limits.tokensPerStep - sequences.count + (newcomer == nil ? 1 : 0))
        for sequence in sequences where sequence.isPrefilling {
            tokens += sequence.tokens.count - sequence.computed
        }
        tokens += uncached
        isEndless = newcomer?.cacheUse == .recomputed || sequences.contains { $0.cacheUse == .recomputed }
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
