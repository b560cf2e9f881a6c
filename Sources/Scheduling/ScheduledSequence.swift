/// Names a sequence while the engine works on it.
public struct SequenceID: Hashable, Sendable, CustomStringConvertible {
    public let value: UInt64
    public init(_ value: UInt64) { self.value = value }
    public var description: String { String(value) }
}

/// A sequence the scheduler knows: its tokens, how far they are computed, and the slots it owns. Used only
/// on the thread that schedules.
public final class ScheduledSequence {
    public let id: SequenceID
    public let promptCount: Int
    /// The most tokens it can come to have, prompt included.
    public let maxCount: Int
    /// Whether the logits of every prompt token are wanted, not only the last one's.
    public let scoresPrompt: Bool
    public private(set) var tokens: [Int32]
    /// How many of `tokens` have keys and values in the cache.
    public private(set) var computed = 0
    private var lease: SlotLease?

    /// `prompt` holds at least one token, and at least one is to be generated.
    public init(id: SequenceID, prompt: [Int32], maxNewTokens: Int, scoresPrompt: Bool = false) {
        precondition(!prompt.isEmpty && maxNewTokens >= 1, "\(prompt.count) + \(maxNewTokens) tokens")
        (self.id, self.tokens, self.scoresPrompt) = (id, prompt, scoresPrompt)
        (promptCount, maxCount) = (prompt.count, prompt.count + maxNewTokens)
    }

    public var slots: [Int32] { lease?.slots ?? [] }

    /// The slots it needs at most: the last token generated is never fed back.
    public var maxSlots: Int { maxCount - 1 }

    /// Whether more than the last token is to be computed.
    var isPrefilling: Bool { computed < promptCount || computed < tokens.count - 1 }

    /// Makes sure that the first `count` tokens have slots.
    func reserve(_ count: Int, in pool: SlotPool) -> Bool {
        if lease == nil { lease = pool.lease(0) }
        let missing = count - slots.count
        return missing <= 0 || (lease?.grow(by: missing) ?? false)
    }

    func advance(to count: Int) { computed = count }

    func append(_ token: Int32) { tokens.append(token) }

    /// Forgets what was computed; the slots stay.
    func restart() { computed = 0 }

    func release() { lease = nil }
}
