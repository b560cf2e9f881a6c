import Tensors
import Testing

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
                    #expect(own.seen.query == own.seen.keyValue * own.together, "\(label)")
                    #expect(own.lead + own.query.count <= own.seen.query, "\(label)")
                    for (index, head) in own.query.enumerated() {
                        let seen = own.lead + index
                        #expect(own.number(ofSeen: seen) == head, "\(label)")
                        let keys = own.keyValue.lowerBound + seen / own.together
                        #expect(keys == head / (query / keyValue), "\(label)")
                    }
                    let sizes = parts.map(\.query.count)
                    #expect((sizes.max() ?? 0) - (sizes.min() ?? 0) <= 1, "\(label)")
                }
            }
        }
    }

    @Test func sharesAreMultiplesOfAGrain() throws {
        let heads = Heads(query: 28, keyValue: 4, width: 128)
        let parts = try (0..<4).map { try OwnHeads(heads, Shard(index: $0, of: 4), grain: 2) }
        #expect(parts.map(\.query.count) == [6, 8, 6, 8])
    }
}
