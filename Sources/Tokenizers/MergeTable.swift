/// What a pair of tokens joins to; of all pairs the lowest rank joins first.
struct Merge: Sendable {
    let rank: Int32
    let token: Int32

    /// Of a pair that does not join.
    static let none = Merge(rank: .max, token: 0)
}

/// Pairs of tokens and what they join to, in a hash table with linear probing.
struct MergeTable: Sendable {
    private struct Entry {
        var key: UInt64
        var merge: Merge
    }

    private var entries: [Entry]

    /// The merges in order of rank; the first of equal pairs counts.
    init(_ merges: [(left: Int32, right: Int32, token: Int32)]) {
        self.init(
            ranked: merges.enumerated().map { ($1.left, $1.right, Merge(rank: Int32($0), token: $1.token)) })
    }

    private init(ranked merges: [(left: Int32, right: Int32, merge: Merge)]) {
        var size = 16
        while size < 2 * merges.count { size *= 2 }
        entries = [Entry](repeating: Entry(key: Self.free, merge: .none), count: size)
        for (left, right, merge) in merges {
            let key = Self.key(left, right)
            let bucket = find(key)
            if entries[bucket].key == Self.free { entries[bucket] = Entry(key: key, merge: merge) }
        }
    }

    /// Every pair of `tokens` whose union is one of them, the union with the lowest rank first (tiktoken,
    /// SentencePiece). `rank` is nil for what is never joined.
    init(joining vocabulary: Vocabulary, rank: (Int32) -> Int32?) {
        var merges: [(Int32, Int32, Merge)] = []
        for token in 0..<Int32(vocabulary.count) {
            let bytes = vocabulary.bytes(of: token)
            guard bytes.count > 1, vocabulary.id(of: bytes) == token, let priority = rank(token) else {
                continue
            }
            for cut in bytes.indices.dropFirst() {
                guard let left = vocabulary.id(of: bytes[..<cut]),
                    let right = vocabulary.id(of: bytes[cut...]),
                    rank(left) != nil, rank(right) != nil
                else { continue }
                merges.append((left, right, Merge(rank: priority, token: token)))
            }
        }
        self.init(ranked: merges)
    }

    // Token ids are not negative, so no pair has this key.
    private static let free = UInt64.max

    @inline(__always) subscript(left: Int32, right: Int32) -> Merge {
        // Symbols without a token have negative numbers.
        guard left | right >= 0 else { return .none }
        return entries[find(Self.key(left, right))].merge
    }

    /// The tokens that pairs join to.
    var results: some Sequence<Int32> {
        entries.lazy.filter { $0.key != Self.free }.map(\.merge.token)
    }

    @inline(__always) private static func key(_ left: Int32, _ right: Int32) -> UInt64 {
        UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
    }

    @inline(__always) private func find(_ key: UInt64) -> Int {
        var hash = key &* 0x9E37_79B9_7F4A_7C15
        hash ^= hash >> 32
        var bucket = Int(truncatingIfNeeded: hash) & (entries.count - 1)
        while entries[bucket].key != key, entries[bucket].key != Self.free {
            bucket = (bucket + 1) & (entries.count - 1)
        }
        return bucket
    }
}

/// Where a text without pre-tokenizer may be cut all the same: before a mark of a space that no merge joins
/// to what stands before it. Words can then be encoded, and remembered, one by one.
struct PieceBoundary: Sendable {
    private static let mark = Array("▁".utf8)
    /// The bytes that some merge's token has right before a mark.
    private var joins = [Bool](repeating: false, count: 256)

    /// nil where the vocabulary has no such mark.
    init?(_ merges: MergeTable, _ vocabulary: Vocabulary) {
        guard vocabulary.id(of: Self.mark) != nil else { return nil }
        for token in merges.results {
            let bytes = vocabulary.bytes(of: token)
            for index in bytes.indices.dropFirst()
            where bytes[index] == Self.mark[0] && bytes[index...].starts(with: Self.mark) {
                joins[Int(bytes[index - 1])] = true
            }
        }
    }

    /// Where the word that begins at `start` ends.
    @inline(__always) func next(_ bytes: UnsafeBufferPointer<UInt8>, after start: Int, before end: Int) -> Int
    {
        var index = start + 1
        while index < end {
            if bytes[index] == Self.first, end - index >= 3, bytes[index + 1] == Self.second,
                bytes[index + 2] == Self.third, !joins[Int(bytes[index - 1])]
            {
                return index
            }
            index += 1
        }
        return end
    }

    private static let (first, second, third): (UInt8, UInt8, UInt8) = (0xE2, 0x96, 0x81)
}

/// Words of a text that were encoded before. A table of fixed size; of two words in one place the later stays.
struct WordCache {
    static let longestWord = 64

    private struct Entry {
        var hash: UInt64 = 0
        var word: Range<Int> = 0..<0
        /// Where among the text's tokens those of the word are.
        var tokens: Range<Int> = 0..<0
    }

    private var entries: [Entry]

    /// Texts too short to repeat themselves get none.
    init(textLength: Int) {
        var size = 0
        if textLength >= 512 {
            size = 256
            while size < textLength / 8, size < 1 << 16 { size *= 2 }
        }
        entries = [Entry](repeating: Entry(), count: size)
    }

    @inline(__always) var isUseful: Bool { !entries.isEmpty }

    @inline(__always)
    func find(_ hash: UInt64, _ word: UnsafeBufferPointer<UInt8>, in text: UnsafeBufferPointer<UInt8>)
        -> Range<Int>?
    {
        let entry = entries[Int(truncatingIfNeeded: hash) & (entries.count - 1)]
        guard entry.hash == hash, entry.word.count == word.count else { return nil }
        for offset in 0..<word.count where text[entry.word.lowerBound + offset] != word[offset] { return nil }
        return entry.tokens
    }

    @inline(__always) mutating func store(_ hash: UInt64, _ word: Range<Int>, tokens: Range<Int>) {
        entries[Int(truncatingIfNeeded: hash) & (entries.count - 1)] = Entry(
            hash: hash, word: word, tokens: tokens)
    }
}
