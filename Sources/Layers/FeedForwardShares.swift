import Tensors
public import Weights

/// How much of every layer's feed-forward those compute who share out a model: whoever has more of the attention has
/// less of it, so that all have as many weights.
public struct FeedForwardShares: Sendable {
    /// Where the shares begin and the last one ends, from 0 to 1.
    private let bounds: [Double]

    /// Alike for all.
    public init(members: Int) { bounds = (0...members).map { Double($0) / Double(members) } }

    /// For layers of gated networks of `inner` columns beside attention with `heads`, both on `width` columns. Throws
    /// when the heads cannot be shared out.
    public init(members: Int, heads: Heads, width: Int, inner: Int) throws(SplitError) {
        var attention: [Double] = []
        for index in 0..<members {
            let own = try OwnHeads(heads, Shard(index: index, of: members))
            attention.append(Double((own.query.count + own.keyValue.count) * 2 * heads.width))
        }
        // In columns of a network, which have three weights for each of `width`.
        let mean = (attention.reduce(0, +) + Double(3 * inner)) / Double(members)
        let shares = attention.map { max(0, (mean - $0) / Double(3 * inner)) }
        var sums = [0.0]
        for share in shares { sums.append(sums[sums.count - 1] + share) }
        bounds = sums.map { $0 / sums[members] }
    }

    /// What of `inner` columns belongs to `shard`, cut at multiples of `grain`. Throws unless there is one for each.
    func range(
        of inner: Int, grain: Int, _ shard: Shard, _ what: @autoclosure () -> String
    ) throws(SplitError) -> Range<Int> {
        let grains = inner / grain
        guard grains >= shard.count else {
            throw .tooFew(what() + (grain > 1 ? " in blocks of \(grain)" : ""), grains, parts: shard.count)
        }
        func cut(_ index: Int) -> Int {
            // At least one for each before and after.
            let ideal = Int((bounds[index] * Double(grains)).rounded())
            return min(max(ideal, index), grains - (shard.count - index))
        }
        return cut(shard.index) * grain..<cut(shard.index + 1) * grain
    }
}
