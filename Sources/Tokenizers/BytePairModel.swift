import HeapModule

/// Byte-pair encoding (arXiv 1508.07909): joins neighbouring symbols, best pair first, until none can be
/// joined. O(n log n) in the length of the piece.
struct BytePairModel: Sendable {
    /// What a piece starts out as.
    enum Symbols: Sendable {
        /// One symbol a byte.
        case bytes
        /// One symbol a character; one the vocabulary lacks becomes the tokens of its bytes when it has all
        /// of them (an entry for each of the 256, or none at all), or else `unknown`.
        case characters(unknown: Int32?, fusesUnknown: Bool, byteTokens: [Int32?])
    }

    /// Which pairs join, and which first.
    enum Merges: Sendable {
        /// Listed pairs, in their order.
        case ranked(MergeTable)
        /// Any pair whose union is a token, highest score first (SentencePiece).
        case scored([Float])
    }

    let vocabulary: Vocabulary
    let symbols: Symbols
    let merges: Merges
    /// Whether a piece that is a token as a whole is taken as such.
    let takesWholePieces: Bool

    /// Appends the tokens of one piece.
    func encode(_ piece: ArraySlice<UInt8>, into tokens: inout [Int32]) {
        if takesWholePieces, let id = vocabulary.id(of: piece) {
            tokens.append(id)
            return
        }
        var chain = initialSymbols(piece)
        join(&chain, piece)
        var lastWasUnknown = false
        var index = chain.isEmpty ? nil : Optional(0)
        while let current = index {
            let symbol = chain[current]
            if let token = symbol.token {
                tokens.append(token)
                lastWasUnknown = false
            } else {
                appendUnknown(piece[symbol.range], &lastWasUnknown, into: &tokens)
            }
            index = symbol.next
        }
    }

    private struct Symbol {
        var range: Range<Int>
        var token: Int32?
        var previous: Int?
        var next: Int?
    }

    private struct Candidate: Comparable {
        let priority: Double
        let left: Int
        let right: Int
        /// Bytes of the union: a candidate whose symbols changed since no longer has that many.
        let width: Int
        let token: Int32

        static func < (a: Candidate, b: Candidate) -> Bool {
            a.priority != b.priority ? a.priority < b.priority : a.left < b.left
        }

        static func == (a: Candidate, b: Candidate) -> Bool { a.priority == b.priority && a.left == b.left }
    }

    private func initialSymbols(_ piece: ArraySlice<UInt8>) -> [Symbol] {
        var chain: [Symbol] = []
        var start = piece.startIndex
        while start < piece.endIndex {
            let width: Int
            switch symbols {
            case .bytes: width = 1
            case .characters: width = min(utf8Width(piece[start]), piece.endIndex - start)
            }
            let index = chain.count
            let range = start..<start + width
            chain.append(
                Symbol(
                    range: range, token: vocabulary.id(of: piece[range]),
                    previous: index == 0 ? nil : index - 1,
                    next: range.upperBound == piece.endIndex ? nil : index + 1))
            start = range.upperBound
        }
        return chain
    }

    private func join(_ chain: inout [Symbol], _ piece: ArraySlice<UInt8>) {
        var candidates = Heap<Candidate>()
        candidates.reserveCapacity(chain.count)
        for left in chain.indices.dropLast() { propose(left, left + 1, chain, piece, &candidates) }
        while let best = candidates.popMin() {
            let (left, right) = (chain[best.left], chain[best.right])
            guard left.next == best.right, left.range.count + right.range.count == best.width,
                !left.range.isEmpty, !right.range.isEmpty
            else { continue }
            chain[best.left].range = left.range.lowerBound..<right.range.upperBound
            chain[best.left].token = best.token
            chain[best.left].next = right.next
            chain[best.right].range = right.range.upperBound..<right.range.upperBound
            if let next = right.next {
                chain[next].previous = best.left
                propose(best.left, next, chain, piece, &candidates)
            }
            if let previous = left.previous { propose(previous, best.left, chain, piece, &candidates) }
        }
    }

    private func propose(
        _ left: Int, _ right: Int, _ chain: [Symbol], _ piece: ArraySlice<UInt8>,
        _ candidates: inout Heap<Candidate>
    ) {
        let (a, b) = (chain[left], chain[right])
        let width = a.range.count + b.range.count
        switch merges {
        case .ranked(let table):
            guard let first = a.token, let second = b.token, let (rank, token) = table[first, second] else {
                return
            }
            candidates.insert(
                Candidate(priority: Double(rank), left: left, right: right, width: width, token: token))
        case .scored(let scores):
            guard let token = vocabulary.id(of: piece[a.range.lowerBound..<b.range.upperBound]) else {
                return
            }
            candidates.insert(
                Candidate(
                    priority: -Double(scores[Int(token)]), left: left, right: right, width: width,
                    token: token))
        }
    }

    private func appendUnknown(
        _ bytes: ArraySlice<UInt8>, _ lastWasUnknown: inout Bool, into tokens: inout [Int32]
    ) {
        guard case .characters(let unknown, let fuses, let byteTokens) = symbols else { return }
        let fallback = byteTokens.isEmpty ? [] : bytes.compactMap { byteTokens[Int($0)] }
        if !bytes.isEmpty, fallback.count == bytes.count {
            tokens += fallback
            lastWasUnknown = false
        } else if let unknown {
            if !(fuses && lastWasUnknown) { tokens.append(unknown) }
            lastWasUnknown = true
        }
    }
}

/// Bytes of the UTF-8 sequence that begins with `lead`.
func utf8Width(_ lead: UInt8) -> Int {
    switch lead {
    case 0xC0..<0xE0: 2
    case 0xE0..<0xF0: 3
    case 0xF0...: 4
    default: 1
    }
}

/// Pairs of tokens and what they join to, in a hash table with linear probing.
struct MergeTable: Sendable {
    private struct Entry {
        let key: UInt64
        let rank: Int32
        let token: Int32
    }

    private var entries: [Entry?]

    /// The merges in order of rank; the first of equal pairs counts.
    init(_ merges: [(left: Int32, right: Int32, token: Int32)]) {
        var size = 16
        while size < 2 * merges.count { size *= 2 }
        entries = [Entry?](repeating: nil, count: size)
        for (rank, merge) in merges.enumerated() {
            let key = Self.key(merge.left, merge.right)
            let bucket = find(key)
            if entries[bucket] == nil {
                entries[bucket] = Entry(key: key, rank: Int32(rank), token: merge.token)
            }
        }
    }

    subscript(left: Int32, right: Int32) -> (rank: Int32, token: Int32)? {
        entries[find(Self.key(left, right))].map { ($0.rank, $0.token) }
    }

    private static func key(_ left: Int32, _ right: Int32) -> UInt64 {
        UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
    }

    private func find(_ key: UInt64) -> Int {
        var hash = key &* 0x9E37_79B9_7F4A_7C15
        hash ^= hash >> 32
        var bucket = Int(truncatingIfNeeded: hash) & (entries.count - 1)
        while let entry = entries[bucket], entry.key != key { bucket = (bucket + 1) & (entries.count - 1) }
        return bucket
    }
}
