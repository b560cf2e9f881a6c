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

/// The heads that one of several computes: query heads side by side, and the key-value heads that these look at, which
/// others may have too.
struct OwnHeads {
    let all: Heads
    let query: Range<Int>
    let keyValue: Range<Int>
    /// Query heads to each key-value head, of which the first and the last may lack some.
    let group: Int
    /// How many the first lacks.
    let lead: Int

    /// Shares are cut at multiples of `grain` query heads.
    init(_ heads: Heads, _ shard: Shard, grain: Int = 1) throws(SplitError) {
        all = heads
        let group = heads.query / heads.keyValue
        query = try shard.part(of: heads.query, grain: grain, "query heads")
        keyValue = query.lowerBound / group..<(query.upperBound - 1) / group + 1
        let first = query.clamped(to: keyValue.lowerBound * group..<(keyValue.lowerBound + 1) * group)
        let last = query.clamped(to: (keyValue.upperBound - 1) * group..<keyValue.upperBound * group)
        // Those between are whole.
        self.group = keyValue.count > 2 ? group : max(first.count, last.count)
        lead = self.group - first.count
    }

    var computed: Heads { Heads(query: query.count, keyValue: keyValue.count, width: all.width) }

    /// The columns of these of all heads, when those lie side by side.
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
    let own: OwnHeads
    let details: Details
    let shape: AttentionShape
    let layer: Int

    /// `heads` are those of the whole model, as slopes and norms are; computed are this part's.
    public init(
        _ projections: AttentionProjections, output: Parameters, width: Int, heads: Heads,
        _ details: Details, layer: Int
    ) throws {
        own = try OwnHeads(
            heads, output.shard, grain: output.grain(ofInputs: heads.queryWidth, inRunsOf: heads.width))
        qkv = try projections.linear(own, inputs: width)
        self.output = try Linear(
            output, inputs: heads.queryWidth, outputs: width, split: .inputs([own.queryColumns]))
        self.layer = layer
        self.details = details.narrowed(to: own)
        let own = own
        shape = AttentionShape(
            queryHeads: own.query.count, keyValueHeads: own.keyValue.count, keyWidth: heads.width,
            valueWidth: heads.width, scale: details.scale ?? 1 / Float(heads.width).squareRoot(),
            reach: details.reach.from(head: own.query.lowerBound), softcap: details.softcap,
            slopes: details.slopes.map { Array($0[own.query]) }, group: own.group, lead: own.lead)
    }

    public func cacheLayout(layers: Int) -> CacheLayout { own.computed.cacheLayout(layers: layers) }

    public func callAsFunction(_ x: Matrix, _ pass: ForwardPass) -> Matrix {
        let width = own.all.width, keyValueWidth = own.keyValue.count * width
        let parts = qkv(x).split(own.query.count * width, keyValueWidth, keyValueWidth)
        let (q, k, v) = (parts[0], parts[1], parts[2])
        if let norms = details.norms {
            norms.query.apply(to: q, heads: own.query.count)
            norms.key.apply(to: k, heads: own.keyValue.count)
        }
        if let factor = details.queryFactor {
            pass.backend.scale(q, by: pass.positions.map { factor(Int($0)) })
        }
        let attended =
            details.rotation.map { pass.attend(q, k, v, rotatedBy: $0, shape, layer: layer) }
            ?? pass.attend(q, k, v, shape, layer: layer)
        return output(attended)
    }
}

extension GroupedQueryAttention.Details {
    fileprivate func narrowed(to own: OwnHeads) -> Self {
        var details = self
        let (all, width) = (own.all, own.all.width)
        details.norms = norms.map { query, key in
            (
                query.narrowed(to: own.query, of: all.query, width: width),
                key.narrowed(to: own.keyValue, of: all.keyValue, width: width)
            )
        }
        return details
    }
}
