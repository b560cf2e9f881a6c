public import Tensors
import Weights

/// The part of a layer in which tokens look at each other.
public protocol Attention: Sendable {
    func callAsFunction(_ x: Matrix, _ pass: ForwardPass) -> Matrix
    /// What a token occupies in the cache when `layers` layers are like this.
    func cacheLayout(layers: Int) -> CacheLayout
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
}

/// The heads that one of several computes.
struct OwnHeads {
    let all: Heads
    let query: Range<Int>
    let keyValue: Range<Int>

    var heads: Heads { Heads(query: query.count, keyValue: keyValue.count, width: all.width) }

    /// Key-value heads and their queries. Where there are fewer than parts, several parts have the same one and share
    /// out its queries.
    init(_ heads: Heads, _ shard: Shard) throws(SplitError) {
        all = heads
        let together = heads.query / heads.keyValue
        guard heads.keyValue < shard.count else {
            keyValue = shard.range(of: heads.keyValue)
            query = keyValue.lowerBound * together..<keyValue.upperBound * together
            return
        }
        let head = shard.index * heads.keyValue / shard.count
        // The parts that have this head.
        let first = (head * shard.count + heads.keyValue - 1) / heads.keyValue
        let last = ((head + 1) * shard.count + heads.keyValue - 1) / heads.keyValue
        guard together >= last - first else {
            throw .tooFew(
                "query heads, \(together) to each of \(heads.keyValue) key-value heads,", heads.query,
                parts: shard.count)
        }
        let part = Shard(index: shard.index - first, of: last - first).range(of: together)
        keyValue = head..<head + 1
        query = head * together + part.lowerBound..<head * together + part.upperBound
    }

    /// The columns of these of all query heads, when those lie side by side.
    var queryColumns: Range<Int> { query.lowerBound * all.width..<query.upperBound * all.width }
    var keyValueColumns: Range<Int> { keyValue.lowerBound * all.width..<keyValue.upperBound * all.width }
}

/// Where a checkpoint has the projections of queries, keys and values.
public enum AttentionProjections {
    /// Each in a matrix of its own.
    case separate(query: Parameters, key: Parameters, value: Parameters)
    /// In one matrix: all query heads, all key heads, all value heads.
    case stacked(Parameters)
    /// In one matrix: for each key-value head its query heads, then the key, then the value.
    case grouped(Parameters)

    /// What belongs to `own`, as one projection.
    func linear(_ own: OwnHeads, inputs: Int) throws -> Linear {
        let (all, q, kv) = (own.all, own.queryColumns, own.keyValueColumns)
        switch self {
        case .separate(let query, let key, let value):
            return try Linear(
                [
                    .init(query, outputs: all.queryWidth, kept: [q]),
                    .init(key, outputs: all.keyValueWidth, kept: [kv]),
                    .init(value, outputs: all.keyValueWidth, kept: [kv]),
                ], inputs: inputs)
        case .stacked(let parameters):
            let keys = all.queryWidth, values = all.queryWidth + all.keyValueWidth
            return try Linear(
                [
                    .init(
                        parameters, outputs: all.stackedWidth,
                        kept: [
                            q, keys + kv.lowerBound..<keys + kv.upperBound,
                            values + kv.lowerBound..<values + kv.upperBound,
                        ])
                ], inputs: inputs)
        case .grouped(let parameters):
            return try Linear(
                [.init(parameters, outputs: all.stackedWidth, kept: Self.grouped(own))], inputs: inputs)
        }
    }

    private static func grouped(_ own: OwnHeads) -> [Range<Int>] {
        let (together, width) = (own.all.query / own.all.keyValue, own.all.width)
        func head(_ group: Int, _ index: Int) -> Range<Int> {
            let start = (group * (together + 2) + index) * width
            return start..<start + width
        }
        return own.query.map { head($0 / together, $0 % together) }
            + own.keyValue.map { head($0, together) } + own.keyValue.map { head($0, together + 1) }
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

    /// `heads` are those of the whole model, as slopes and norms are; computed are this part's.
    public init(
        _ projections: AttentionProjections, output: Parameters, width: Int, heads all: Heads,
        _ details: Details, layer: Int
    ) throws {
        let own = try OwnHeads(all, output.shard)
        qkv = try projections.linear(own, inputs: width)
        self.output = try Linear(
            output, inputs: all.queryWidth, outputs: width, split: .inputs([own.queryColumns]))
        (heads, self.details, self.layer) = (own.heads, details, layer)
        shape = AttentionShape(
            queryHeads: heads.query, keyValueHeads: heads.keyValue, keyWidth: heads.width,
            valueWidth: heads.width, scale: details.scale ?? 1 / Float(heads.width).squareRoot(),
            reach: details.reach.from(head: own.query.lowerBound), softcap: details.softcap,
            slopes: details.slopes.map { Array($0[own.query]) })
    }

    public func cacheLayout(layers: Int) -> CacheLayout { heads.cacheLayout(layers: layers) }

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
