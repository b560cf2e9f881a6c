/// What one attention call computes. Causality is stated, never defaulted.
public struct AttentionShape: Sendable, Equatable {
    /// Which keys a query sees.
    public enum Reach: Sendable, Equatable {
        /// Itself and everything before.
        case causal
        /// Itself and the `width - 1` tokens before.
        case causalWindow(Int)
    }

    public var queryHeads: Int
    public var keyValueHeads: Int
    /// Columns of one head of q and k.
    public var keyWidth: Int
    /// Columns of one head of v and of the result.
    public var valueWidth: Int
    /// Scores are multiplied by this before the softmax.
    public var scale: Float
    public var reach: Reach

    public init(
        queryHeads: Int, keyValueHeads: Int, keyWidth: Int, valueWidth: Int, scale: Float, reach: Reach
    ) {
        (self.queryHeads, self.keyValueHeads) = (queryHeads, keyValueHeads)
        (self.keyWidth, self.valueWidth, self.scale, self.reach) = (keyWidth, valueWidth, scale, reach)
    }
}

extension AttentionShape.Reach {
    /// How many positions a query sees at most; nil for all before it.
    public var width: Int? {
        switch self {
        case .causal: nil
        case .causalWindow(let width): width
        }
    }

    /// The first key position that a query at `position` sees.
    public func firstKey(for position: Int) -> Int {
        switch self {
        case .causal: 0
        case .causalWindow(let width): max(0, position - width + 1)
        }
    }
}
