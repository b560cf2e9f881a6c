import HeapModule

/// A run of tokens that follows its parent's, and their slots.
final class RadixNode {
    fileprivate(set) var tokens: [Int32]
    fileprivate var lease: SlotLease
    fileprivate(set) unowned var parent: RadixNode?
    fileprivate(set) var children: [Int32: RadixNode] = [:]
    /// Tokens from the root to the end of this node.
    fileprivate(set) var depth: Int
    /// Sequences whose prefix ends here or below.
    fileprivate(set) var users = 0
    fileprivate var lastUse: UInt64
    fileprivate var isInTree = true
    /// The forecast that counted it last.
    var mark: UInt64 = 0

    fileprivate init(
        _ tokens: [Int32], _ lease: consuming SlotLease, after parent: RadixNode?, _ time: UInt64
    ) {
        self.lease = lease
        (self.tokens, self.parent, lastUse) = (tokens, parent, time)
        depth = (parent?.depth ?? 0) + tokens.count
    }

    var slots: [Int32] { lease.slots }

    /// The slots from the root to the end of this node.
    func path() -> [Int32] {
        var nodes: [RadixNode] = []
        var next: RadixNode? = self
        while let node = next {
            nodes.append(node)
            next = node.parent
        }
        var slots: [Int32] = []
        slots.reserveCapacity(depth)
        for node in nodes.reversed() { slots += node.lease.slots }
        return slots
    }
}

/// The prefixes that were computed, by token, and their slots: a radix tree for every salt.
///
/// A slot in it belongs to its node. Sequences use nodes by count; what no sequence uses can be evicted, the
/// ends first that were used the longest ago.
final class RadixTree {
    private let pool: SlotPool
    private var roots: [CacheSalt?: RadixNode] = [:]
    private var time: UInt64 = 0
    /// Nodes that could be evicted when they were entered; some no longer can.
    private var evictionQueue = Heap<EvictionEntry>()
    /// Nodes below the roots.
    private var nodeCount = 0
    /// Changes whenever a prefix may have come to end elsewhere.
    private(set) var version: UInt64 = 0
    /// Changes whenever sequences come to use other prefixes.
    private(set) var useVersion: UInt64 = 0
    /// Tokens in the tree, and those of them that sequences use.
    private(set) var tokenCount = 0
    private(set) var usedCount = 0

    private struct EvictionEntry: Comparable {
        let lastUse: UInt64
        let node: RadixNode
        static func == (a: Self, b: Self) -> Bool { a.lastUse == b.lastUse }
        static func < (a: Self, b: Self) -> Bool { a.lastUse < b.lastUse }
    }

    init(pool: SlotPool) { self.pool = pool }

    var evictableCount: Int { tokenCount - usedCount }

    /// The node where the longest cached prefix of the first `count` tokens ends; a node is split there if it
    /// must be. Nobody uses it yet.
    func find(_ tokens: [Int32], count: Int, salt: CacheSalt?) -> RadixNode {
        var node = root(salt)
        while node.depth < count, let child = node.children[tokens[node.depth]] {
            let common = commonCount(child, tokens, from: node.depth, to: count)
            node = common < child.tokens.count ? split(child, at: common) : child
        }
        return node
    }

    /// Enters `node` and all above it as used, now.
    func use(_ node: RadixNode) {
        time += 1
        use(node, upTo: nil)
    }

    private func use(_ node: RadixNode, upTo end: RadixNode?) {
        useVersion += 1
        var next: RadixNode? = node
        while let node = next {
            node.lastUse = time
            if node !== end {
                if node.users == 0 { usedCount += node.tokens.count }
                node.users += 1
                next = node.parent
            } else {
                // What it already uses is only marked as used again.
                touch(above: node)
                return
            }
        }
    }

    private func touch(above node: RadixNode) {
        var next = node.parent
        while let node = next {
            node.lastUse = time
            next = node.parent
        }
    }

    /// Takes back one `use` of `node`.
    func release(_ node: RadixNode) {
        useVersion += 1
        var next: RadixNode? = node
        while let node = next {
            node.users -= 1
            next = node.parent
            if node.users == 0 {
                usedCount -= node.tokens.count
                offer(node)
            }
        }
    }

    /// Enters the first `count` tokens, whose prefix `start` the caller uses and whose further slots are `lease`.
    /// Slots of tokens that the tree has already are given back, and `slots`, the caller's, name the tree's
    /// instead. Returns the node that the caller uses in place of `start`.
    func insert(
        _ tokens: [Int32], count: Int, after start: RadixNode, _ lease: consuming SlotLease,
        slots: inout [Int32]
    ) -> RadixNode {
        var node = start
        while node.depth < count, let child = node.children[tokens[node.depth]] {
            let common = commonCount(child, tokens, from: node.depth, to: count)
            let first = node.depth
            node = common < child.tokens.count ? split(child, at: common) : child
            slots.replaceSubrange(first..<first + common, with: node.lease.slots)
            _ = lease.splitFirst(common)
        }
        if node.depth < count {
            version += 1
            let child = RadixNode(Array(tokens[node.depth..<count]), lease, after: node, time)
            node.children[child.tokens[0]] = child
            (nodeCount, tokenCount) = (nodeCount + 1, tokenCount + child.tokens.count)
            node = child
        }
        time += 1
        use(node, upTo: start)
        return node
    }

    /// Frees `count` slots that nobody uses, or as many as there are.
    func evict(_ count: Int) {
        var left = count
        while left > 0, let entry = evictionQueue.min {
            let node = entry.node
            guard node.isInTree, isEvictable(node), node.lastUse == entry.lastUse else {
                evictionQueue.removeMin()
                continue
            }
            version += 1
            let taken = min(left, node.tokens.count)
            _ = node.lease.splitLast(taken)
            left -= taken
            tokenCount -= taken
            if taken < node.tokens.count {
                node.tokens.removeLast(taken)
                node.depth -= taken
            } else {
                evictionQueue.removeMin()
                remove(node)
            }
        }
    }

    private func remove(_ node: RadixNode) {
        node.isInTree = false
        guard let parent = node.parent else { return }
        parent.children[node.tokens[0]] = nil
        nodeCount -= 1
        offer(parent)
    }

    private func isEvictable(_ node: RadixNode) -> Bool {
        node.users == 0 && node.children.isEmpty && node.parent != nil
    }

    private func offer(_ node: RadixNode) {
        guard isEvictable(node) else { return }
        evictionQueue.insert(EvictionEntry(lastUse: node.lastUse, node: node))
        // Entries of nodes that are used again would pile up while nothing is evicted.
        if evictionQueue.count > 2 * nodeCount + 64 {
            let valid = evictionQueue.unordered.filter {
                $0.node.isInTree && isEvictable($0.node) && $0.node.lastUse == $0.lastUse
            }
            evictionQueue = Heap(valid)
        }
    }

    private func root(_ salt: CacheSalt?) -> RadixNode {
        if let root = roots[salt] { return root }
        guard let nothing = pool.lease(0) else { preconditionFailure("no slots cannot be leased") }
        let root = RadixNode([], nothing, after: nil, 0)
        // Salts that nothing is cached for any more.
        if roots.count > nodeCount + 64 {
            version += 1
            roots = roots.filter { !$0.value.children.isEmpty || $0.value.users > 0 }
        }
        roots[salt] = root
        return root
    }

    /// Cuts `node` after `count` tokens. It stays the lower part, so whoever uses it still uses all of it; returns
    /// the upper one.
    private func split(_ node: RadixNode, at count: Int) -> RadixNode {
        version += 1
        let upper = RadixNode(
            Array(node.tokens.prefix(count)), node.lease.splitFirst(count), after: node.parent, node.lastUse)
        upper.users = node.users
        node.parent?.children[upper.tokens[0]] = upper
        node.tokens.removeFirst(count)
        node.parent = upper
        upper.children[node.tokens[0]] = node
        nodeCount += 1
        return upper
    }

    /// How many tokens of `node` agree with `tokens` from index `first` on.
    private func commonCount(_ node: RadixNode, _ tokens: [Int32], from first: Int, to end: Int) -> Int {
        let most = min(node.tokens.count, end - first)
        var count = 0
        while count < most, node.tokens[count] == tokens[first + count] { count += 1 }
        return count
    }
}

extension RadixTree {
    /// All nodes but the roots, and the tokens before each; for tests.
    func nodes() -> [(salt: CacheSalt?, tokens: [Int32], node: RadixNode)] {
        var found: [(salt: CacheSalt?, tokens: [Int32], node: RadixNode)] = []
        var open = roots.map { (salt: $0.key, tokens: [Int32](), node: $0.value) }
        while let (salt, tokens, node) = open.popLast() {
            for child in node.children.values {
                found.append((salt, tokens, child))
                open.append((salt, tokens + child.tokens, child))
            }
        }
        return found
    }

    /// Traps when the books do not add up; for tests.
    func checkInvariants() {
        var (tokens, used, count) = (0, 0, 0)
        for (_, before, node) in nodes() {
            precondition(
                !node.tokens.isEmpty && node.tokens.count == node.slots.count, "tokens without slots")
            precondition(node.depth == before.count + node.tokens.count, "a node is not where it says")
            precondition(node.parent?.children[node.tokens[0]] === node, "a parent does not know its child")
            precondition(node.users <= node.parent?.users ?? 0, "used below and not above")
            tokens += node.tokens.count
            used += node.users > 0 ? node.tokens.count : 0
            count += 1
        }
        precondition(
            tokens == tokenCount && used == usedCount && count == nodeCount, "the tree is miscounted")
    }
}
