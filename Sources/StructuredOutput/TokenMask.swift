/// A set of tokens, as a bit for each token of the vocabulary.
public struct TokenMask: Sendable, Hashable {
    /// Bit `token % 64` of word `token / 64`. Bits beyond the vocabulary are clear.
    public private(set) var words: [UInt64]
    public let vocabularySize: Int

    /// The empty set.
    public init(vocabularySize: Int) {
        words = [UInt64](repeating: 0, count: (max(vocabularySize, 0) + 63) / 64)
        self.vocabularySize = max(vocabularySize, 0)
    }

    /// The set of `tokens`; those beyond the vocabulary are left out.
    public init(_ tokens: some Sequence<Int>, vocabularySize: Int) {
        self.init(vocabularySize: vocabularySize)
        for token in tokens where (0..<self.vocabularySize).contains(token) { insert(token) }
    }

    /// The tokens that are not in it.
    public var complement: TokenMask {
        TokenMask(
            (0..<vocabularySize).lazy.filter { !self.contains($0) }, vocabularySize: vocabularySize)
    }

    public func contains(_ token: Int) -> Bool {
        (0..<vocabularySize).contains(token) && words[token >> 6] >> UInt64(token & 63) & 1 == 1
    }

    public var isEmpty: Bool { words.allSatisfy { $0 == 0 } }

    public var count: Int { words.reduce(0) { $0 + $1.nonzeroBitCount } }

    /// The tokens, ascending.
    public var tokens: [Int] {
        words.indices.flatMap { word in
            (0..<64).filter { words[word] >> UInt64($0) & 1 == 1 }.map { word << 6 + $0 }
        }
    }

    mutating func insert(_ token: Int) { words[token >> 6] |= 1 << UInt64(token & 63) }

    /// Both must be of one vocabulary.
    mutating func formUnion(_ other: TokenMask) {
        precondition(other.words.count == words.count)
        for index in words.indices { words[index] |= other.words[index] }
    }
}
