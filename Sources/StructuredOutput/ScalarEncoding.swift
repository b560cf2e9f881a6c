/// The UTF-8 of a set of scalars, as a tree over bytes whose equal branches are shared.
struct ScalarEncoding: Sendable {
    struct Edge: Sendable {
        var bytes: ByteSet
        /// Nil after a scalar's last byte.
        let node: Int?
    }

    /// Edges of each node lead to earlier ones. The last node is the first of a text.
    private(set) var nodes: [[Edge]] = []
    private var shared: [Tail: Int] = [:]

    /// The values that `length` continuation bytes may spell, six bits each.
    private struct Tail: Hashable {
        let ranges: [ClosedRange<UInt32>]
        let length: Int
    }

    init(_ set: ScalarSet) {
        var edges: [Edge] = []
        var ascii = ByteSet()
        for range in set.ranges where range.lowerBound < 0x80 {
            ascii.formUnion(ByteSet(UInt8(range.lowerBound)...UInt8(min(range.upperBound, 0x7F))))
        }
        if !ascii.isEmpty { edges.append(Edge(bytes: ascii, node: nil)) }
        for (length, limits, lead) in [
            (1, 0x80...0x7FF, 0xC0), (2, 0x800...0xFFFF, 0xE0), (3, 0x10000...0x10FFFF, 0xF0),
        ] as [(Int, ClosedRange<UInt32>, UInt8)] {
            let inside = set.ranges.filter { $0.overlaps(limits) }.map { $0.clamped(to: limits) }
            edges += branches(Tail(ranges: inside, length: length), byte: lead)
        }
        nodes.append(edges)
    }

    /// Edges for one byte, `byte` and the bits above those of `length` more; then for those.
    private mutating func branches(_ values: Tail, byte: UInt8) -> [Edge] {
        let shift = UInt32(6 * values.length)
        var rest: [UInt8: [ClosedRange<UInt32>]] = [:]
        for range in values.ranges {
            for high in range.lowerBound >> shift...range.upperBound >> shift {
                let low = max(range.lowerBound, high << shift) - high << shift
                let top = min(range.upperBound, (high + 1) << shift - 1) - high << shift
                rest[byte + UInt8(high), default: []].append(low...top)
            }
        }
        var (known, edges): ([Tail: Int], [Edge]) = ([:], [])
        for (byte, ranges) in rest.sorted(by: { $0.key < $1.key }) {
            let tail = Tail(ranges: ranges, length: values.length)
            if let index = known[tail] {
                edges[index].bytes.insert(byte)
            } else {
                known[tail] = edges.count
                edges.append(Edge(bytes: ByteSet(byte), node: continuation(tail)))
            }
        }
        return edges
    }

    private mutating func continuation(_ tail: Tail) -> Int? {
        guard tail.length > 0 else { return nil }
        if let known = shared[tail] { return known }
        nodes.append(branches(Tail(ranges: tail.ranges, length: tail.length - 1), byte: 0x80))
        shared[tail] = nodes.count - 1
        return nodes.count - 1
    }
}
