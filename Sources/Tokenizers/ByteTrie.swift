/// Finds which of many strings a text begins with. One hash table, with linear probing, holds all edges.
struct ByteTrie: Sendable {
    private struct Edge {
        /// The node above, and the byte that leads on.
        let key: UInt64
        let node: Int32
    }

    private var edges: [Edge?]
    /// What is stored at each node.
    private var values: [Int32?] = [nil]
    /// Whether any string begins with the byte.
    private var begins = [Bool](repeating: false, count: 256)

    /// Of equal strings the first counts; empty ones are left out.
    init(_ strings: some Sequence<(bytes: ArraySlice<UInt8>, value: Int32)>) {
        edges = [Edge?](repeating: nil, count: 64)
        for (bytes, value) in strings { insert(bytes, value) }
    }

    private mutating func insert(_ bytes: ArraySlice<UInt8>, _ value: Int32) {
        guard let first = bytes.first else { return }
        begins[Int(first)] = true
        var node: Int32 = 0
        for byte in bytes {
            if let next = next(node, byte) {
                node = next
                continue
            }
            if values.count * 2 >= edges.count { grow() }
            let next = Int32(values.count)
            edges[bucket(Self.key(node, byte))] = Edge(key: Self.key(node, byte), node: next)
            values.append(nil)
            node = next
        }
        values[Int(node)] = values[Int(node)] ?? value
    }

    private mutating func grow() {
        let old = edges
        edges = [Edge?](repeating: nil, count: 2 * old.count)
        for case let edge? in old { edges[bucket(edge.key)] = edge }
    }

    @inline(__always) func mayBegin(with byte: UInt8) -> Bool { begins[Int(byte)] }

    /// The strings that `text` has at `start`, shortest first: what is stored for them, and where they end.
    @inline(__always)
    func prefixes(of text: UnsafeBufferPointer<UInt8>, at start: Int, _ found: (Int32, Int) -> Void) {
        var (node, index): (Int32, Int) = (0, start)
        while index < text.count, let next = next(node, text[index]) {
            (node, index) = (next, index + 1)
            if let value = values[Int(node)] { found(value, index) }
        }
    }

    @inline(__always) private func next(_ node: Int32, _ byte: UInt8) -> Int32? {
        edges[bucket(Self.key(node, byte))]?.node
    }

    @inline(__always) private static func key(_ node: Int32, _ byte: UInt8) -> UInt64 {
        UInt64(UInt32(bitPattern: node)) << 8 | UInt64(byte)
    }

    @inline(__always) private func bucket(_ key: UInt64) -> Int {
        let hash = key &* 0x9E37_79B9_7F4A_7C15
        var bucket = Int(truncatingIfNeeded: hash >> 32) & (edges.count - 1)
        while let edge = edges[bucket], edge.key != key { bucket = (bucket + 1) & (edges.count - 1) }
        return bucket
    }
}
