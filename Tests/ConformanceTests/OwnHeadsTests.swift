import Tensors
import Testing
import Weights

@testable import Layers

/// However query heads are shared out, each looks at its own key-value head.
@Suite struct OwnHeadsTests {
    @Test(arguments: 1...16) func everyHeadSeesItsKeys(_ query: Int) throws {
        for keyValue in 1...query where query.isMultiple(of: keyValue) {
            let heads = Heads(query: query, keyValue: keyValue, width: 8)
            for count in 1...query {
                let parts = try (0..<count).map { try OwnHeads(heads, Shard(index: $0, of: count)) }
                #expect(parts.flatMap { Array($0.query) } == Array(0..<query))
                for own in parts {
                    let label = "\(query) heads, \(keyValue) of keys, \(count) parts"
                    let shape = AttentionShape(
                        queryHeads: own.query.count, keyValueHeads: own.keyValue.count, keyWidth: 8,
                        valueWidth: 8, scale: 1, reach: .causal, group: own.group, lead: own.lead)
                    let seen = (0..<own.keyValue.count).flatMap { head in
                        shape.queryHeads(of: head).map { ($0, own.keyValue.lowerBound + head) }
                    }
                    #expect(seen.map(\.0) == Array(0..<own.query.count), "\(label)")
                    for (index, keys) in seen {
                        let head = own.query.lowerBound + index
                        #expect(keys == head / (query / keyValue), "\(label)")
                        #expect(keys == own.keyValue.lowerBound + (index + own.lead) / own.group, "\(label)")
                    }
                    let sizes = parts.map(\.query.count)
                    #expect((sizes.max() ?? 0) - (sizes.min() ?? 0) <= 1, "\(label)")
                }
            }
        }
    }

    /// Whoever has more of the attention has less of the rest, and everybody something.
    @Test(arguments: [(9, 3, 64, 1536), (9, 3, 64, 4), (32, 8, 128, 14_336), (3, 1, 512, 100)])
    func sharesOfTheFeedForwardMakeUp(_ query: Int, _ keyValue: Int, _ width: Int, _ inner: Int) throws {
        let heads = Heads(query: query, keyValue: keyValue, width: width), size = query * width
        for ranks in 2...min(4, query) {
            let shares = try FeedForwardShares(members: ranks, heads: heads, width: size, inner: inner)
            let parts = try (0..<ranks).map {
                try shares.range(of: inner, grain: 1, Shard(index: $0, of: ranks), "columns")
            }
            #expect(parts.flatMap { Array($0) } == Array(0..<inner))
            #expect(parts.allSatisfy { !$0.isEmpty })
            guard inner > 1000 else { continue }
            let weights = try parts.enumerated().map { index, part in
                let own = try OwnHeads(heads, Shard(index: index, of: ranks))
                return 2 * width * (own.query.count + own.keyValue.count) + 3 * part.count
            }
            #expect((weights.max() ?? 0) - (weights.min() ?? 0) <= 6)
        }
    }

    @Test func everybodyNeedsAPartOfTheFeedForward() {
        #expect(throws: SplitError.tooFew("columns in blocks of 32", 3, parts: 4)) {
            try FeedForwardShares(members: 4).range(of: 96, grain: 32, Shard(index: 0, of: 4), "columns")
        }
    }

    @Test func sharesAreMultiplesOfAGrain() throws {
        let heads = Heads(query: 28, keyValue: 4, width: 128)
        let parts = try (0..<4).map { try OwnHeads(heads, Shard(index: $0, of: 4), grain: 2) }
        #expect(parts.map(\.query.count) == [6, 8, 6, 8])
    }
}
