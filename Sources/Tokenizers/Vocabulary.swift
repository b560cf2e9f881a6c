/// Tokens by id and by their bytes.
///
/// One array holds the bytes of all tokens; the lookup is a hash table of ids with linear probing.
struct Vocabulary: Sendable {
    private var storage: [UInt8] = []
    /// Token `id` is `storage[starts[id] ..< starts[id + 1]]`.
    private var starts: [Int] = [0]
    private var buckets: [Int32] = []

    /// Ids that no token has are given nil; `hidden` ids are never found by their bytes.
    init(_ tokens: [[UInt8]?], hiding hidden: Set<Int> = []) {
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
            guard let token, !hidden.contains(id) else { continue }
            token.withUnsafeBufferPointer { bytes in
                let bucket = find(bytes)
                // The first of equal tokens wins.
                if buckets[bucket] == Self.empty { buckets[bucket] = Int32(id) }
            }
        }
    }

    var count: Int { starts.count - 1 }

    /// Bytes of the longest token.
    var longestToken: Int { zip(starts, starts.dropFirst()).map { $1 - $0 }.max() ?? 0 }

    /// The bytes of `id`; none for an id outside the vocabulary.
    func bytes(of id: Int32) -> ArraySlice<UInt8> {
        guard id >= 0, Int(id) < count else { return [] }
        return storage[starts[Int(id)]..<starts[Int(id) + 1]]
    }

    func id(of bytes: some Collection<UInt8>) -> Int32? {
        bytes.withContiguousStorageIfAvailable { id(at: $0) }
            ?? Array(bytes).withUnsafeBufferPointer { id(at: $0) }
    }

    @inline(__always) func id(at bytes: UnsafeBufferPointer<UInt8>) -> Int32? {
        let id = buckets[find(bytes)]
        return id == Self.empty ? nil : id
    }

    func id(of text: String) -> Int32? { id(of: Array(text.utf8)) }

    // The table's own mark of a free bucket; never leaves this type.
    private static let empty: Int32 = -1

    /// The bucket that holds `bytes`, or the free one where they belong.
    @inline(__always) private func find(_ bytes: UnsafeBufferPointer<UInt8>) -> Int {
        var bucket = Int(truncatingIfNeeded: byteHash(bytes)) & (buckets.count - 1)
        while buckets[bucket] != Self.empty {
            let id = Int(buckets[bucket])
            let (start, end) = (starts[id], starts[id + 1])
            if end - start == bytes.count, storage[start..<end].elementsEqual(bytes) { return bucket }
            bucket = (bucket + 1) & (buckets.count - 1)
        }
        return bucket
    }
}

/// A hash of a few bytes, eight at a time.
@inline(__always) func byteHash(_ bytes: UnsafeBufferPointer<UInt8>) -> UInt64 {
    // Unsafe: whole words are read where the bytes are long enough, which the conditions check.
    let raw = UnsafeRawBufferPointer(bytes)
    var hash = UInt64(truncatingIfNeeded: raw.count) &* 0x9E37_79B9_7F4A_7C15
    var index = 0
    while index + 8 <= raw.count {
        hash = (hash ^ raw.loadUnaligned(fromByteOffset: index, as: UInt64.self)) &* 0xFF51_AFD7_ED55_8CCD
        hash ^= hash >> 32
        index += 8
    }
    var rest: UInt64 = 0
    while index < raw.count {
        rest = rest << 8 | UInt64(raw[index])
        index += 1
    }
    hash = (hash ^ rest) &* 0xC4CE_B9FE_1A85_EC53
    return hash ^ hash >> 29
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

    /// The character of each byte, in UTF-8.
    static let utf8: [[UInt8]] = scalarOfByte.map { Array(String($0).utf8) }

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
