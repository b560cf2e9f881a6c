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
