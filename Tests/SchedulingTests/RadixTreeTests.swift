import Testing

@testable import Scheduling

/// What a radix tree means: each cached token under the tokens before it.
private struct NaiveTree {
    struct Key: Hashable {
        let salt: CacheSalt?
        let tokens: [Int32]
    }
    struct Entry {
        let slot: Int32
        var users = 0
        var lastUse: Int
    }
    var entries: [Key: Entry] = [:]
    var time = 0

    func depth(_ tokens: [Int32], _ salt: CacheSalt?) -> Int {
        (0..<tokens.count).first { entries[Key(salt: salt, tokens: Array(tokens[...$0]))] == nil }
            ?? tokens.count
    }

    mutating func use(_ tokens: [Int32], _ salt: CacheSalt?, by count: Int) {
        if count > 0 { time += 1 }
        for end in tokens.indices {
            entries[Key(salt: salt, tokens: Array(tokens[...end]))]?.users += count
            if count > 0 { entries[Key(salt: salt, tokens: Array(tokens[...end]))]?.lastUse = time }
        }
    }

    mutating func evict() -> Bool {
        let parents = Set(entries.keys.map { Key(salt: $0.salt, tokens: Array($0.tokens.dropLast())) })
        let leaves = entries.filter { $0.value.users == 0 && !parents.contains($0.key) }
        guard let oldest = leaves.min(by: { $0.value.lastUse < $1.value.lastUse }) else { return false }
        entries[oldest.key] = nil
        return true
    }
}

@Suite struct RadixTreeTests {
    /// Random prefixes come, are used, let go and evicted; after each operation the tree has the tokens, slots and
    /// users that the naive one has, and every slot has one owner.
    @Test(arguments: 1...10)
    func agreesWithTheNaiveTree(_ seed: Int) {
        var random = Random(state: UInt64(seed))
        let pool = SlotPool(capacity: 60)
        let tree = RadixTree(pool: pool)
        var naive = NaiveTree()
        var held: [(tokens: [Int32], salt: CacheSalt?, node: RadixNode)] = []
        for _ in 0..<1500 {
            switch Int.random(in: 0..<5, using: &random) {
            case 0, 1:
                let salt = Bool.random(using: &random) ? nil : CacheSalt("a")
                let tokens = (0..<Int.random(in: 1...12, using: &random)).map { _ in
                    Int32.random(in: 0..<2, using: &random)
                }
                let found = tree.find(tokens, count: tokens.count, salt: salt)
                #expect(found.depth == naive.depth(tokens, salt))
                tree.use(found)
                naive.use(Array(tokens.prefix(found.depth)), salt, by: 1)
                let missing = tokens.count - found.depth
                if missing > pool.available { tree.evict(missing - pool.available) }
                while naive.entries.count > tree.tokenCount, naive.evict() {}
                guard let lease = pool.lease(missing) else {
                    tree.release(found)
                    naive.use(Array(tokens.prefix(found.depth)), salt, by: -1)
                    continue
                }
                var slots = found.path() + lease.slots
                let own = slots
                let node = tree.insert(tokens, count: tokens.count, after: found, lease, slots: &slots)
                naive.use(Array(tokens.prefix(found.depth)), salt, by: -1)
                for end in found.depth..<tokens.count {
                    let key = NaiveTree.Key(salt: salt, tokens: Array(tokens[...end]))
                    if naive.entries[key] == nil { naive.entries[key] = .init(slot: own[end], lastUse: 0) }
                }
                naive.use(tokens, salt, by: 1)
                #expect(slots == node.path())
                held.append((tokens, salt, node))
            case 2, 3:
                guard let index = held.indices.randomElement(using: &random) else { continue }
                let (tokens, salt, node) = held.remove(at: index)
                tree.release(node)
                naive.use(tokens, salt, by: -1)
            default:
                let count = Int.random(in: 1...5, using: &random)
                tree.evict(count)
                for _ in 0..<count { _ = naive.evict() }
            }
            tree.checkInvariants()
            var entries: [NaiveTree.Key: NaiveTree.Entry] = [:]
            for (salt, before, node) in tree.nodes() {
                for (index, slot) in node.slots.enumerated() {
                    let key = NaiveTree.Key(salt: salt, tokens: before + node.tokens[...index])
                    entries[key] = .init(slot: slot, users: node.users, lastUse: 0)
                }
            }
            #expect(entries.mapValues(\.slot) == naive.entries.mapValues(\.slot))
            #expect(entries.mapValues(\.users) == naive.entries.mapValues(\.users))
            #expect(pool.isConsistent(leased: tree.nodes().map(\.node.slots)))
        }
        for (_, _, node) in held { tree.release(node) }
        tree.evict(60)
        #expect(tree.tokenCount == 0 && pool.available == 60)
    }
}
