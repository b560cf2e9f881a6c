/// Tokens by id and by their bytes.
///
/// One array holds the bytes of all tokens; the lookup is a hash table of ids with linear probing.
struct Vocabulary: Sendable {
    private var storage: [UInt8] = []
    /// Token `id` is `storage[starts[id] ..< starts[id + 1]]`.
    private var starts: [Int] = [0]
    private var buckets: [Int32] = []

    /// Ids that no token has are given nil.
    init(_ tokens: [[UInt8]?]) {
        storage.reserveCapacity(tokens.reduce(0) { $0 + ($1?.count ?? 0) })
        starts.reserveCapacity(tokens.count + 1)
        for token in tokens {
            storage.append(contentsOf: token ?? [])
            starts.append(storage.count)
        }
        var size = 16
        while size < 2 * tokens.count { size *= 2 }
        buckets = [Int32](repeating: Self.empty, count: size)
        for (id, token) in tokens.enumerated() {
            guard let token else { continue }
            token.withUnsafeBufferPointer { bytes in
                let bucket = find(bytes)
                // The first of equal tokens wins.
                if buckets[bucket] == Self.empty { buckets[bucket] = Int32(id) }
            }
        }
    }

    var count: Int { starts.count - 1 }

    /// The bytes of `id`; none for an id outside the vocabulary.
    func bytes(of id: Int32) -> ArraySlice<UInt8> {
        guard id >= 0, Int(id) < count else { return [] }
        return storage[starts[Int(id)]..<starts[Int(id) + 1]]
    }

    func id(of bytes: some Collection<UInt8>) -> Int32? {
        let found = bytes.withContiguousStorageIfAvailable { buckets[find($0)] }
        let id = found ?? Array(bytes).withUnsafeBufferPointer { buckets[find($0)] }
        return id == Self.empty ? nil : id
    }

    func id(of text: String) -> Int32? { id(of: Array(text.utf8)) }

    // The table's own mark of a free bucket; never leaves this type.
    private static let empty: Int32 = -1

    /// The bucket that holds `bytes`, or the free one where they belong.
    private func find(_ bytes: UnsafeBufferPointer<UInt8>) -> Int {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01B3 }
        hash ^= hash >> 29
        var bucket = Int(truncatingIfNeeded: hash) & (buckets.count - 1)
        while buckets[bucket] != Self.empty {
            let id = Int(buckets[bucket])
            let (start, end) = (starts[id], starts[id + 1])
            if end - start == bytes.count, storage[start..<end].elementsEqual(bytes) { return bucket }
            bucket = (bucket + 1) & (buckets.count - 1)
        }
        return bucket
    }
}

/// The alphabet in which byte-level vocabularies write bytes: printable Latin-1 characters stand for
/// themselves, the other bytes for the characters from U+0100 on (GPT-2's `bytes_to_unicode`).
enum ByteAlphabet {
    static let scalarOfByte: [Unicode.Scalar] = {
        var next: UInt32 = 256
        return (0..<256).map { (byte: UInt32) in
            let isPrintable =
                (33...126).contains(byte) || (161...172).contains(byte) || (174...255).contains(byte)
            if !isPrintable { next += 1 }
            return Unicode.Scalar(isPrintable ? byte : next - 1) ?? " "
        }
    }()

    private static let byteOfScalar: [UInt8?] = {
        var table = [UInt8?](repeating: nil, count: 512)
        for (byte, scalar) in scalarOfByte.enumerated() { table[Int(scalar.value)] = UInt8(byte) }
        return table
    }()

    /// The bytes that `token` stands for; its own UTF-8 when it is not written in the alphabet.
    static func bytes(of token: String) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(token.utf8.count)
        for scalar in token.unicodeScalars {
            guard scalar.value < 512, let byte = byteOfScalar[Int(scalar.value)] else {
                return Array(token.utf8)
            }
            bytes.append(byte)
        }
        return bytes
    }
}
