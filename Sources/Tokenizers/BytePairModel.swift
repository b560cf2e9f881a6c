import HeapModule

/// Byte-pair encoding (arXiv 1508.07909): joins neighbouring symbols, best pair first, until none can be
/// joined. O(n log n) in the length of the piece.
final class BytePairModel: Sendable {
    /// What a piece starts out as.
    enum Symbols: Sendable {
        /// One symbol a byte.
        case bytes
        /// One symbol a character.
        case characters(Unlisted)
    }

    /// What becomes of a character that the vocabulary lacks: the tokens of its bytes when it has all of them
    /// (an entry for each of the 256, or none at all), or else `unknown`, or else nothing.
    struct Unlisted: Sendable {
        var unknown: Int32?
        /// Whether several in a row become one.
        var fuses = false
        var byteTokens: [Int32?] = []
        /// What the vocabulary writes before characters that do not begin a piece, and after its last one.
        var continuationPrefix: [UInt8] = []
        var endSuffix: [UInt8] = []
    }

    let vocabulary: Vocabulary
    private let symbols: Symbols
    private let merges: MergeTable
    /// Whether a piece that is a token as a whole is taken as such.
    private let takesWholePieces: Bool
    private let tokenOfByte: [Int32]
    private let boundary: PieceBoundary?

    init(vocabulary: Vocabulary, symbols: Symbols, merges: MergeTable, takesWholePieces: Bool) {
        (self.vocabulary, self.symbols, self.merges) = (vocabulary, symbols, merges)
        self.takesWholePieces = takesWholePieces
        tokenOfByte = (0..<256).map { vocabulary.id(of: [UInt8($0)]) ?? Self.none }
        switch symbols {
        case .characters where !takesWholePieces: boundary = PieceBoundary(merges, vocabulary)
        default: boundary = nil
        }
    }

    // The model's own mark of a symbol without a token; never leaves this type.
    fileprivate static let none: Int32 = -1

    /// Appends the tokens of each piece of `text`.
    func encode(_ text: Pieces, into tokens: inout [Int32]) {
        text.bytes.withUnsafeBufferPointer { bytes in
            var work = Workspace(textLength: bytes.count)
            for range in text.ranges {
                guard let boundary else {
                    encode(bytes, range, &work, into: &tokens)
                    work.lastWasUnknown = false
                    continue
                }
                var start = range.lowerBound
                while start < range.upperBound {
                    let end = boundary.next(bytes, after: start, before: range.upperBound)
                    encode(bytes, start..<end, &work, into: &tokens)
                    start = end
                }
                work.lastWasUnknown = false
            }
        }
    }

    /// Appends the tokens of one piece.
    func encode(_ piece: [UInt8], into tokens: inout [Int32]) { encode(Pieces(piece), into: &tokens) }

    private func encode(
        _ bytes: UnsafeBufferPointer<UInt8>, _ range: Range<Int>, _ work: inout Workspace,
        into tokens: inout [Int32]
    ) {
        let word = UnsafeBufferPointer(rebasing: bytes[range])
        if word.count == 1, case .bytes = symbols, tokenOfByte[Int(word[0])] >= 0 {
            tokens.append(tokenOfByte[Int(word[0])])
            return
        }
        guard word.count <= WordCache.longestWord, work.cache.isUseful else {
            encodeAnew(word, &work, into: &tokens)
            return
        }
        let hash = byteHash(word)
        if let known = work.cache.find(hash, word, in: bytes) {
            // What follows an unknown token may be fused with it, so such words are never stored.
            for index in known { tokens.append(tokens[index]) }
            work.lastWasUnknown = false
            return
        }
        let start = tokens.count
        encodeAnew(word, &work, into: &tokens)
        if !work.sawUnknown { work.cache.store(hash, range, tokens: start..<tokens.count) }
    }

    private func encodeAnew(
        _ word: UnsafeBufferPointer<UInt8>, _ work: inout Workspace, into tokens: inout [Int32]
    ) {
        work.sawUnknown = false
        if takesWholePieces, let id = vocabulary.id(at: word) {
            tokens.append(id)
            return
        }
        work.removeAll()
        switch symbols {
        case .bytes:
            for index in word.indices where tokenOfByte[Int(word[index])] >= 0 {
                work.append(tokenOfByte[Int(word[index])], index)
            }
        case .characters(let unlisted): splitCharacters(word, unlisted, &work)
        }
        if work.tokens.count <= Workspace.mostForScan { joinScanning(&work) } else { joinSorting(&work) }
        guard case .characters(let unlisted) = symbols else {
            tokens += work.tokens
            return
        }
        for (token, start) in zip(work.tokens, work.starts) {
            if token >= 0 {
                tokens.append(token)
                work.lastWasUnknown = false
            } else {
                appendUnlisted(word, start, unlisted, &work, into: &tokens)
            }
        }
    }

    private func splitCharacters(
        _ word: UnsafeBufferPointer<UInt8>, _ unlisted: Unlisted, _ work: inout Workspace
    ) {
        let (prefix, suffix) = (unlisted.continuationPrefix, unlisted.endSuffix)
        var start = 0
        while start < word.count {
            let width = min(utf8Width(word[start]), word.count - start)
            let character = UnsafeBufferPointer(rebasing: word[start..<start + width])
            let token: Int32?
            if prefix.isEmpty, suffix.isEmpty {
                token = vocabulary.id(at: character)
            } else {
                let isLast = start + width == word.count
                token = vocabulary.id(of: (start == 0 ? [] : prefix) + character + (isLast ? suffix : []))
            }
            // Without a token for the unknown it leaves no gap: its neighbours may join.
            if token != nil || unlisted.unknown != nil || !unlisted.byteTokens.isEmpty {
                work.append(token ?? Self.none, start)
            }
            start += width
        }
    }

    private func appendUnlisted(
        _ word: UnsafeBufferPointer<UInt8>, _ start: Int, _ unlisted: Unlisted, _ work: inout Workspace,
        into tokens: inout [Int32]
    ) {
        work.sawUnknown = true
        let bytes = word[start..<min(start + utf8Width(word[start]), word.count)]
        let fallback = unlisted.byteTokens.isEmpty ? [] : bytes.compactMap { unlisted.byteTokens[Int($0)] }
        if fallback.count == bytes.count {
            tokens += fallback
            work.lastWasUnknown = false
        } else if let unknown = unlisted.unknown {
            if !(unlisted.fuses && work.lastWasUnknown) { tokens.append(unknown) }
            work.lastWasUnknown = true
        }
    }

    /// Joins by looking at all pairs each time: the fastest way for a word.
    private func joinScanning(_ work: inout Workspace) {
        guard work.tokens.count > 1 else { return }
        work.pairs.removeAll(keepingCapacity: true)
        for index in 0..<work.tokens.count - 1 {
            work.pairs.append(merges[work.tokens[index], work.tokens[index + 1]])
        }
        while true {
            var (best, rank) = (0, Merge.none.rank)
            for index in work.pairs.indices where work.pairs[index].rank < rank {
                (best, rank) = (index, work.pairs[index].rank)
            }
            guard rank < Merge.none.rank else { return }
            work.tokens[best] = work.pairs[best].token
            work.tokens.remove(at: best + 1)
            work.starts.remove(at: best + 1)
            work.pairs.remove(at: best)
            if best < work.pairs.count {
                work.pairs[best] = merges[work.tokens[best], work.tokens[best + 1]]
            }
            if best > 0 { work.pairs[best - 1] = merges[work.tokens[best - 1], work.tokens[best]] }
        }
    }

    /// Joins with a heap of candidates, in O(n log n), however long the piece.
    private func joinSorting(_ work: inout Workspace) {
        var chain = SymbolChain(work.tokens)
        var candidates = Heap<Candidate>()
        candidates.reserveCapacity(work.tokens.count)
        func propose(_ left: Int, _ right: Int) {
            let merge = merges[chain.tokens[left], chain.tokens[right]]
            guard merge.rank < Merge.none.rank else { return }
            candidates.insert(
                Candidate(
                    rank: merge.rank, left: left, right: right, leftToken: chain.tokens[left],
                    rightToken: chain.tokens[right], token: merge.token))
        }
        for left in chain.tokens.indices.dropLast() { propose(left, left + 1) }
        while let best = candidates.popMin() {
            guard chain.isAlive[best.left], chain.next[best.left] == best.right,
                chain.tokens[best.left] == best.leftToken, chain.tokens[best.right] == best.rightToken
            else { continue }
            chain.join(best.left, best.right, best.token)
            if chain.next[best.left] < chain.tokens.count { propose(best.left, chain.next[best.left]) }
            if chain.previous[best.left] >= 0 { propose(chain.previous[best.left], best.left) }
        }
        let starts = work.starts
        work.removeAll()
        for index in chain.tokens.indices where chain.isAlive[index] {
            work.append(chain.tokens[index], starts[index])
        }
    }
}

/// What is needed to encode one piece after the other, kept so that it is allocated once.
private struct Workspace {
    /// Symbols up to which scanning for the best pair is faster than a heap.
    static let mostForScan = 48

    var tokens: [Int32] = []
    /// Where in the word each symbol begins.
    var starts: [Int] = []
    var pairs: [Merge] = []
    var cache: WordCache
    var lastWasUnknown = false
    /// Whether the word at hand had any.
    var sawUnknown = false

    init(textLength: Int) { cache = WordCache(textLength: textLength) }

    mutating func removeAll() {
        tokens.removeAll(keepingCapacity: true)
        starts.removeAll(keepingCapacity: true)
    }

    @inline(__always) mutating func append(_ token: Int32, _ start: Int) {
        tokens.append(token)
        starts.append(start)
    }
}

/// Symbols as a doubly linked list in arrays.
private struct SymbolChain {
    var tokens: [Int32]
    var next: [Int]
    var previous: [Int]
    var isAlive: [Bool]

    init(_ tokens: [Int32]) {
        self.tokens = tokens
        next = tokens.indices.map { $0 + 1 }
        previous = tokens.indices.map { $0 - 1 }
        isAlive = tokens.map { _ in true }
    }

    mutating func join(_ left: Int, _ right: Int, _ token: Int32) {
        tokens[left] = token
        isAlive[right] = false
        next[left] = next[right]
        if next[right] < tokens.count { previous[next[right]] = left }
    }
}

private struct Candidate: Comparable {
    let rank: Int32
    let left: Int
    let right: Int
    /// The tokens when it was proposed: if they changed, it no longer stands.
    let leftToken: Int32
    let rightToken: Int32
    let token: Int32

    static func < (a: Candidate, b: Candidate) -> Bool {
        a.rank != b.rank ? a.rank < b.rank : a.left < b.left
    }

    static func == (a: Candidate, b: Candidate) -> Bool { a.rank == b.rank && a.left == b.left }
}
