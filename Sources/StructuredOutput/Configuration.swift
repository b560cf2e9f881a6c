/// Where rules return to: the tops of any number of stacks, sharing what is below.
///
/// Equal stacks are equal values, however they came about.
final class Frame: Hashable, Sendable {
    struct Return: Sendable {
        let node: Network.NodeIndex
        let below: Frame
    }

    /// Whether the text may end where the rule does.
    let isBottom: Bool
    /// By node, ascending, each once.
    let returns: [Return]
    /// Of the deepest of its stacks.
    let depth: Int
    private let hash: Int

    init(isBottom: Bool, returns: [Return]) {
        (self.isBottom, self.returns) = (isBottom, returns)
        depth = returns.reduce(0) { max($0, $1.below.depth + 1) }
        var hasher = Hasher()
        hasher.combine(isBottom)
        for entry in returns {
            hasher.combine(entry.node)
            hasher.combine(entry.below.hash)
        }
        hash = hasher.finalize()
    }

    static func == (a: Frame, b: Frame) -> Bool {
        if a === b { return true }
        guard a.hash == b.hash, a.isBottom == b.isBottom, a.returns.count == b.returns.count else {
            return false
        }
        return zip(a.returns, b.returns).allSatisfy { $0.node == $1.node && $0.below == $1.below }
    }

    func hash(into hasher: inout Hasher) { hasher.combine(hash) }

    /// The stacks of both. `self` itself when `other` adds none.
    func union(_ other: Frame) -> Frame {
        if self == other { return self }
        var merged: [Return] = []
        var (mine, theirs) = (returns[...], other.returns[...])
        var isSame = isBottom || !other.isBottom
        while let a = mine.first, let b = theirs.first {
            if a.node == b.node {
                let below = a.below.union(b.below)
                isSame = isSame && below === a.below
                merged.append(Return(node: a.node, below: below))
                mine.removeFirst()
                theirs.removeFirst()
            } else if a.node < b.node {
                merged.append(mine.removeFirst())
            } else {
                isSame = false
                merged.append(theirs.removeFirst())
            }
        }
        if isSame, theirs.isEmpty { return self }
        return Frame(isBottom: isBottom || other.isBottom, returns: merged + mine + theirs)
    }
}

/// Every place where a text may be in a program, given what came before.
final class Configuration: Hashable, Sendable {
    struct Item: Hashable, Sendable {
        /// One of bytes.
        let node: Network.NodeIndex
        let frame: Frame
    }

    /// By node, ascending, each once.
    let items: [Item]
    /// Whether the text may end here.
    let accepts: Bool
    private let hash: Int

    init(items: [Item], accepts: Bool) {
        (self.items, self.accepts) = (items, accepts)
        var hasher = Hasher()
        hasher.combine(accepts)
        hasher.combine(items)
        hash = hasher.finalize()
    }

    static func == (a: Configuration, b: Configuration) -> Bool {
        a === b || a.hash == b.hash && a.accepts == b.accepts && a.items == b.items
    }

    func hash(into hasher: inout Hasher) { hasher.combine(hash) }

    var isDead: Bool { items.isEmpty && !accepts }
}

/// Follows splits, calls and returns until every item waits for a byte.
///
/// Only items whose way to the end fits the limit on nesting are kept, so each can be completed.
struct ConfigurationBuilder {
    let program: Program
    let limits: GrammarLimits
    /// Items visited, which is what the work costs.
    private(set) var work = 0
    /// Whether places were left out because there were too many.
    private(set) var hasOverflowed = false

    private var frames: [Network.NodeIndex: Frame] = [:]
    private var pending: [Network.NodeIndex] = []
    private var accepts = false

    init(program: Program, limits: GrammarLimits) { (self.program, self.limits) = (program, limits) }

    mutating func start() -> Configuration {
        reach(program.root, Frame(isBottom: true, returns: []))
        return finish()
    }

    mutating func step(_ configuration: Configuration, _ byte: UInt8) -> Configuration {
        for item in configuration.items {
            work += 1
            guard case .bytes(let edges) = program.network.nodes[Int(item.node)] else { continue }
            // The sets of a node do not overlap.
            if let edge = edges.first(where: { $0.bytes.contains(byte) }) { reach(edge.next, item.frame) }
        }
        return finish()
    }

    private mutating func reach(_ node: Network.NodeIndex, _ frame: Frame) {
        guard let need = program.need[Int(node)], frame.depth + need <= limits.nesting else { return }
        if let known = frames[node] {
            let merged = known.union(frame)
            guard merged !== known else { return }
            frames[node] = merged
        } else {
            guard frames.count < limits.places * 4 else {
                hasOverflowed = true
                return
            }
            frames[node] = frame
        }
        pending.append(node)
    }

    private mutating func finish() -> Configuration {
        while let node = pending.popLast() {
            work += 1
            guard let frame = frames[node] else { continue }
            switch program.network.nodes[Int(node)] {
            case .bytes, .startAnchor, .endAnchor: break
            case .split(let targets):
                for target in targets { reach(target, frame) }
            case .call(let rule, let next, let isTail):
                let inside =
                    isTail ? frame : Frame(isBottom: false, returns: [.init(node: next, below: frame)])
                reach(program.network.entries[rule], inside)
            case .end:
                if frame.isBottom { accepts = true }
                for entry in frame.returns { reach(entry.node, entry.below) }
            }
        }
        var items: [Configuration.Item] = []
        for (node, frame) in frames {
            if case .bytes = program.network.nodes[Int(node)] {
                items.append(Configuration.Item(node: node, frame: frame))
            }
        }
        items.sort { $0.node < $1.node }
        if items.count > limits.places {
            hasOverflowed = true
            items.removeLast(items.count - limits.places)
        }
        let result = Configuration(items: items, accepts: accepts)
        frames.removeAll(keepingCapacity: true)
        accepts = false
        return result
    }
}
