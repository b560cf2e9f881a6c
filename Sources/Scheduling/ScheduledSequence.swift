/// Names a sequence while the engine works on it.
public struct SequenceID: Hashable, Sendable, CustomStringConvertible {
    public let value: UInt64
    public init(_ value: UInt64) { self.value = value }
    public var description: String { String(value) }
}

/// Keeps cached prefixes apart: sequences share them only under the same salt.
public struct CacheSalt: Hashable, Sendable {
    public let value: String
    public init(_ value: String) { self.value = value }
}

/// What a sequence has to do with what others computed.
public enum CacheUse: Hashable, Sendable {
    /// Its prefixes come from those of the same salt, and go to them.
    case shared(CacheSalt?)
    /// It computes all of its tokens itself and keeps them to itself.
    case own
    /// Like `own`; and what is cached of it may have to be computed again as it grows. Nobody can say how long
    /// it runs, so all slots that it may come to need are set aside for it.
    case recomputed
}

/// Whom a sequence is for; waiting ones of the same priority take turns by the tokens each has had.
public struct Tenant: Hashable, Sendable {
    public let name: String
    public init(_ name: String) { self.name = name }
}

/// How a sequence waits.
public struct QueueTerms: Hashable, Sendable {
    /// Higher ones run first.
    public var priority = 0
    /// nil is a tenant as well.
    public var tenant: Tenant?
    /// When it is given up, unless it has begun to run.
    public var deadline: ContinuousClock.Instant?

    public init(priority: Int = 0, tenant: Tenant? = nil, deadline: ContinuousClock.Instant? = nil) {
        (self.priority, self.tenant, self.deadline) = (priority, tenant, deadline)
    }
}

/// A sequence the scheduler knows: its tokens, how far they are computed, and the slots it uses. Used only on
/// the thread that schedules.
public final class ScheduledSequence {
    enum State { case new, waiting, paused, running, gone }

    public let id: SequenceID
    public let promptCount: Int
    /// The most tokens it can come to have, prompt included.
    public let maxCount: Int
    /// Whether the logits of every prompt token are wanted, not only the last one's.
    public let scoresPrompt: Bool
    public let cacheUse: CacheUse
    public let terms: QueueTerms
    public private(set) var tokens: [Int32]
    /// How many of `tokens` have keys and values in the cache.
    public private(set) var computed = 0
    private var table: SlotTable?
    /// The end of the prefix that it shares; nil while it holds no slots.
    private(set) var prefix: RadixNode?
    var state = State.new
    /// Sequences that arrived before it.
    var arrival: UInt64 = 0
    /// Where its cached prefix ends, and for which state of the tree that holds.
    var found: (node: RadixNode, version: UInt64)?
    /// It waits for the prompt of this one, which begins as its own does.
    var awaited: ScheduledSequence?

    /// `prompt` holds at least one token, and at least one is to be generated. One whose prompt is scored
    /// shares nothing.
    public init(
        id: SequenceID, prompt: [Int32], maxNewTokens: Int, scoresPrompt: Bool = false,
        cacheUse: CacheUse = .shared(nil), terms: QueueTerms = QueueTerms()
    ) {
        precondition(!prompt.isEmpty && maxNewTokens >= 1, "\(prompt.count) + \(maxNewTokens) tokens")
        (self.id, self.tokens, self.scoresPrompt, self.terms) = (id, prompt, scoresPrompt, terms)
        (promptCount, maxCount) = (prompt.count, prompt.count + maxNewTokens)
        if case .shared = cacheUse, scoresPrompt { self.cacheUse = .own } else { self.cacheUse = cacheUse }
    }

    /// The slots it needs at most: the last token generated is never fed back.
    public var maxSlots: Int { maxCount - 1 }

    public var generatedCount: Int { tokens.count - promptCount }

    /// The slots of its first tokens in order: those of the prefix that it shares, then its own.
    public var slots: [Int32] { table?.slots ?? [] }

    /// How many slots those are; read far more often than the slots.
    private(set) var slotCount = 0

    /// How many slots it shares.
    var sharedCount: Int { table?.sharedCount ?? 0 }

    /// Whether more than the last token is to be computed.
    var isPrefilling: Bool { computed < promptCount || computed < tokens.count - 1 }

    /// How many tokens both begin with.
    func commonCount(_ other: ScheduledSequence) -> Int {
        let most = min(tokens.count, other.tokens.count)
        var count = 0
        while count < most, tokens[count] == other.tokens[count] { count += 1 }
        return count
    }

    /// Starts to hold slots: first those of a prefix.
    func begin(after prefix: RadixNode, in pool: SlotPool) {
        self.prefix = prefix
        table = SlotTable(prefix.path(), pool)
        (slotCount, computed) = (prefix.depth, prefix.depth)
        (found, awaited) = (nil, nil)
    }

    /// Makes sure that the first `count` tokens have slots.
    func reserve(_ count: Int) -> Bool {
        let missing = count - slotCount
        guard missing > 0 else { return true }
        guard table?.grow(by: missing) ?? false else { return false }
        slotCount = count
        return true
    }

    func advance(to count: Int) { computed = count }

    func append(_ token: Int32) { tokens.append(token) }

    /// Forgets what was computed; the slots stay.
    func restart() { computed = 0 }

    /// Gives the slots of all computed tokens to `tree` and shares them from now on.
    func share(with tree: RadixTree) {
        guard let prefix else { return }
        let node = table?.share(upTo: computed) { lease, slots in
            tree.insert(tokens, count: computed, after: prefix, lease, slots: &slots)
        }
        if let node { self.prefix = node }
    }

    /// Gives all slots up.
    func release(to tree: RadixTree) {
        if let prefix { tree.release(prefix) }
        table = nil
        (prefix, slotCount, computed) = (nil, 0, 0)
    }
}
