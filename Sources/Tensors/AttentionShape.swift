/// What one attention call computes. Causality is stated, never defaulted.
public struct AttentionShape: Sendable, Equatable {
    /// Which keys a query sees.
    public enum Reach: Sendable, Equatable {
        /// Itself and everything before.
        case causal
        /// Itself and the `width - 1` tokens before.
        case causalWindow(Int)
        /// Itself and what comes before in the blocks of a pattern.
        case causalBlocks(BlockPattern)
        /// All of its sequence, which has as many tokens as its context has slots; queries may be others than the
        /// tokens that the keys are of.
        case everything
    }

    /// Which blocks of keys a query sees besides those near it (Phi-3, arXiv 2404.14219).
    public struct BlockPattern: Sendable, Equatable {
        /// Positions of a block; a multiple of 32.
        public let positions: Int
        /// How many blocks, its own included, a query sees in any case.
        public let near: Int
        /// Of those before, head `h` sees block `b` when `b + 1 + (firstHead + h) * headStep` is a multiple of this.
        public let stride: Int
        public let headStep: Int
        /// What the first head counts as.
        public var firstHead = 0

        public init(positions: Int, near: Int, stride: Int, headStep: Int) {
            precondition(positions.isMultiple(of: 32) && positions > 0 && stride > 0, "pattern of blocks")
            (self.positions, self.near, self.stride, self.headStep) = (positions, near, stride, headStep)
        }

        /// Whether a query of head `head` sees the block that `key` is in.
        public func sees(key: Int, from query: Int, head: Int) -> Bool {
            let block = key / positions
            return query / positions - block < near
                || (block + 1 + (firstHead + head) * headStep).isMultiple(of: stride)
        }
    }

    public var queryHeads: Int
    public var keyValueHeads: Int
    /// Query heads that look at each key-value head, of which the first and the last may lack some.
    public var group: Int
    /// How many the first one lacks.
    public var lead: Int
    /// Columns of one head of q and k.
    public var keyWidth: Int
    /// Columns of one head of v and of the result.
    public var valueWidth: Int
    /// Scores are multiplied by this before the softmax.
    public var scale: Float
    public var reach: Reach
    /// Scaled scores become `cap * tanh(score / cap)`.
    public var softcap: Float?
    /// One for each query head: a score loses this much for each position between query and key (ALiBi, arXiv
    /// 2108.12409).
    public var slopes: [Float]?

    public init(
        queryHeads: Int, keyValueHeads: Int, keyWidth: Int, valueWidth: Int, scale: Float, reach: Reach,
        softcap: Float? = nil, slopes: [Float]? = nil, group: Int? = nil, lead: Int = 0
    ) {
        (self.group, self.lead) = (group ?? queryHeads / keyValueHeads, lead)
        (self.softcap, self.slopes) = (softcap, slopes)
        (self.queryHeads, self.keyValueHeads) = (queryHeads, keyValueHeads)
        (self.keyWidth, self.valueWidth, self.scale, self.reach) = (keyWidth, valueWidth, scale, reach)
    }
}

extension AttentionShape {
    /// Whether no key-value head lacks query heads.
    public var isEven: Bool { queryHeads == keyValueHeads * group }

    /// The query heads that look at key-value head `head`.
    public func queryHeads(of head: Int) -> Range<Int> {
        max(0, head * group - lead)..<min(queryHeads, (head + 1) * group - lead)
    }

    /// The same with query heads for all that are lacking, which count as their neighbours.
    var evened: AttentionShape {
        var shape = self
        (shape.queryHeads, shape.lead) = (keyValueHeads * group, 0)
        shape.reach = reach.from(head: (reach.pattern?.firstHead ?? 0) - lead)
        shape.slopes = slopes.map { slopes in
            (0..<shape.queryHeads).map { slopes[min(max($0 - lead, 0), slopes.count - 1)] }
        }
        return shape
    }
}

extension Backend {
    /// Attention of query heads `q`, of which some lack, by way of attention of as many to each key-value head: for
    /// backends that have no other. `body` computes that.
    public func attendEvened(
        _ q: Matrix, _ shape: AttentionShape, into y: Matrix,
        _ body: (_ q: Matrix, _ shape: AttentionShape, _ y: Matrix) -> Void
    ) {
        let even = shape.evened
        let all = makeMatrix(rows: q.rows, columns: even.queryHeads * shape.keyWidth)
        let result = makeMatrix(rows: q.rows, columns: even.queryHeads * shape.valueWidth)
        func columns(_ heads: Range<Int>, _ width: Int) -> Range<Int> {
            heads.lowerBound * width..<heads.upperBound * width
        }
        let own = shape.lead..<shape.lead + shape.queryHeads
        all.columns(columns(own, shape.keyWidth)).copy(q)
        for head in 0..<even.queryHeads where !own.contains(head) {
            all.columns(columns(head..<head + 1, shape.keyWidth)).copy(q.columns(0..<shape.keyWidth))
        }
        body(all, even, result)
        y.copy(result.columns(columns(own, shape.valueWidth)))
    }
}

extension AttentionShape.Reach {
    /// How many positions a query sees at most; nil for all before it.
    public var width: Int? {
        switch self {
        case .causal, .causalBlocks, .everything: nil
        case .causalWindow(let width): width
        }
    }

    public var pattern: AttentionShape.BlockPattern? {
        if case .causalBlocks(let pattern) = self { pattern } else { nil }
    }

    /// The same for heads that are a model's from number `head` on.
    public func from(head: Int) -> AttentionShape.Reach {
        guard var pattern else { return self }
        pattern.firstHead = head
        return .causalBlocks(pattern)
    }
    /// Whether a query's own position bounds what it sees.
    public var isCausal: Bool { self != .everything }

    /// The first key position that a query at `position` sees.
    public func firstKey(for position: Int) -> Int {
        switch self {
        case .causal, .causalBlocks, .everything: 0
        case .causalWindow(let width): max(0, position - width + 1)
        }
    }
}
