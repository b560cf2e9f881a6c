public import Tensors

/// The part of a layer in which tokens look at each other.
public protocol Attention: Sendable {
    func callAsFunction(_ x: Matrix, _ pass: ForwardPass) -> Matrix
}

/// The heads of one attention layer.
public struct Heads: Sendable, Equatable {
    public let query: Int
    public let keyValue: Int
    /// Columns of one head.
    public let width: Int

    public init(query: Int, keyValue: Int, width: Int) {
        (self.query, self.keyValue, self.width) = (query, keyValue, width)
    }

    public var queryWidth: Int { query * width }
    public var keyValueWidth: Int { keyValue * width }
    /// Outputs of the three projections together.
    public var stackedWidth: Int { queryWidth + 2 * keyValueWidth }

    public func cacheLayout(layers: Int) -> CacheLayout {
        CacheLayout(layers: layers, heads: keyValue, keyWidth: width, valueWidth: width)
    }

    /// Where the queries, keys and values are in a projection that has, for each key-value head, its query
    /// heads, then the key, then the value.
    public var grouped: [Range<Int>] {
        let together = query / keyValue
        func heads(_ first: Int, _ count: Int) -> [Range<Int>] {
            (0..<keyValue).map { group in
                let start = (group * (together + 2) + first) * width
                return start..<start + count * width
            }
        }
        return heads(0, together) + heads(together, 1) + heads(together + 1, 1)
    }
}

/// Multi-head, grouped-query and multi-query attention; they differ only in `heads`.
public struct GroupedQueryAttention: Attention {
    /// What differs between models, beside the projections.
    public struct Details: Sendable {
        public var rotation: Rotation?
        public var reach = AttentionShape.Reach.causal
        /// The inverse root of the head's width unless given.
        public var scale: Float?
        public var softcap: Float?
        /// One for each query head (ALiBi).
        public var slopes: [Float]?
        /// Of queries and keys, before they are rotated.
        public var norms: (query: HeadNorm, key: HeadNorm)?
        /// What a query at a position is multiplied with.
        public var queryFactor: (@Sendable (Int) -> Float)?

        public init(rotation: Rotation? = nil, reach: AttentionShape.Reach = .causal) {
            (self.rotation, self.reach) = (rotation, reach)
        }
    }

    let qkv: Linear
    let output: Linear
    let heads: Heads
    let details: Details
    let shape: AttentionShape
    let layer: Int

    /// `qkv` stacks the three projections in this order.
    public init(qkv: Linear, output: Linear, heads: Heads, _ details: Details, layer: Int) {
        (self.qkv, self.output, self.heads, self.details) = (qkv, output, heads, details)
        self.layer = layer
        shape = AttentionShape(
            queryHeads: heads.query, keyValueHeads: heads.keyValue, keyWidth: heads.width,
            valueWidth: heads.width, scale: details.scale ?? 1 / Float(heads.width).squareRoot(),
            reach: details.reach, softcap: details.softcap, slopes: details.slopes)
    }

    public func callAsFunction(_ x: Matrix, _ pass: ForwardPass) -> Matrix {
        let parts = qkv(x).split(heads.queryWidth, heads.keyValueWidth, heads.keyValueWidth)
        let (q, k, v) = (parts[0], parts[1], parts[2])
        if let norms = details.norms {
            norms.query.apply(to: q, heads: heads.query)
            norms.key.apply(to: k, heads: heads.keyValue)
        }
        if let factor = details.queryFactor {
            pass.backend.scale(q, by: pass.positions.map { factor(Int($0)) })
        }
        guard let rotation = details.rotation else {
            return output(pass.attend(q, k, v, shape, layer: layer))
        }
        return output(pass.attend(q, k, v, rotatedBy: rotation, shape, layer: layer))
    }
}
