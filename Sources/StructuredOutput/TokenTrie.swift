/// A vocabulary as a tree over bytes. Built once for each tokenizer, shared by all grammars.
public final class TokenTrie: Sendable {
    /// Runs of plain text up to this many characters are answered from a table.
    static let longestRun = 32

    let bytes: [[UInt8]]
    public let endTokens: [Int]
    /// All tokens.
    let all: PrefixTree
    /// Tokens that are no plain text of at most `longestRun` characters.
    let special: PrefixTree
    /// For each count, the tokens of plain text of at most that many characters.
    let plain: [TokenMask]

    public var vocabularySize: Int { bytes.count }

    /// The bytes that the token adds to a text; none for one beyond the vocabulary.
    public func bytes(of token: Int) -> [UInt8] { bytes.indices.contains(token) ? bytes[token] : [] }

    /// - Parameters:
    ///   - vocabulary: For each token the bytes that it adds to a text; empty for those that add none or are
    ///     never to be generated. Such tokens are allowed only as `endTokens`.
    ///   - endTokens: Allowed where an answer may end, and only there. Those beyond the vocabulary are
    ///     ignored.
    public init(vocabulary: [[UInt8]], endTokens: some Sequence<Int>) {
        self.endTokens = Set(endTokens).filter(vocabulary.indices.contains).sorted()
        var bytes = vocabulary
        for token in self.endTokens { bytes[token] = [] }
        self.bytes = bytes
        let sorted = bytes.indices.filter { !bytes[$0].isEmpty }
            .sorted { bytes[$0].lexicographicallyPrecedes(bytes[$1]) }
        all = PrefixTree(sorted: sorted, of: bytes)
        var (plain, special) = (
            [TokenMask](
                repeating: TokenMask(vocabularySize: bytes.count), count: Self.longestRun + 1), [Int]()
        )
        for token in sorted {
            guard let count = PlainText.characters(in: bytes[token]), count <= Self.longestRun else {
                special.append(token)
                continue
            }
            for longest in count...Self.longestRun { plain[longest].insert(token) }
        }
        self.plain = plain
        self.special = PrefixTree(sorted: special, of: bytes)
    }
}

/// Texts as a tree, laid out so that a walk reads it from front to back.
struct PrefixTree: Sendable {
    /// Of each node, in preorder: the byte that leads to it, how far it is from the root (1 for one byte),
    /// and where the next node outside of it is.
    struct Node: Sendable {
        let byte: UInt8
        let depth: UInt32
        var end: UInt32
        /// Tokens that end here are `tokens[firstToken..<` the next node's`]`.
        let firstToken: UInt32
    }

    private(set) var nodes: [Node] = []
    private(set) var tokens: [Int32] = []
    private(set) var depth = 0

    /// `sorted` are tokens in the order of their texts, none of which is empty.
    init(sorted: [Int], of texts: [[UInt8]]) {
        var path: [Int] = []
        var previous: [UInt8] = []
        for token in sorted {
            let text = texts[token]
            let shared = zip(previous, text).prefix { $0 == $1 }.count
            close(&path, to: shared)
            for depth in shared..<max(text.count, shared) {
                path.append(nodes.count)
                nodes.append(
                    Node(
                        byte: text[depth], depth: UInt32(depth + 1), end: 0,
                        firstToken: UInt32(tokens.count)))
            }
            tokens.append(Int32(token))
            depth = max(depth, text.count)
            previous = text
        }
        close(&path, to: 0)
        nodes.append(Node(byte: 0, depth: 0, end: 0, firstToken: UInt32(tokens.count)))
    }

    private mutating func close(_ path: inout [Int], to count: Int) {
        while path.count > count { nodes[path.removeLast()].end = UInt32(nodes.count) }
    }

    /// Without the closing node.
    var count: Int { nodes.count - 1 }
}

/// Plain text: valid UTF-8 without control characters, quotes and backslashes, so that it may stand in a
/// JSON string as it is.
enum PlainText {
    /// How many characters (scalars) the bytes are; nil when they are not plain.
    static func characters(in bytes: [UInt8]) -> Int? {
        guard let text = String(validating: bytes, as: UTF8.self) else { return nil }
        var count = 0
        for scalar in text.unicodeScalars {
            guard scalar.value >= 0x20, scalar != "\"", scalar != "\\" else { return nil }
            count += 1
        }
        return count
    }

    /// States of a reader of one plain character: 0 at its start; then what a lead byte asks for.
    static let states = 8

    /// The bytes that a state goes on with, and the state then; 0 is a whole character.
    static let steps: [[(bytes: ClosedRange<UInt8>, next: Int)]] = [
        [
            (0x20...0x21, 0), (0x23...0x5B, 0), (0x5D...0x7F, 0), (0xC2...0xDF, 1), (0xE0...0xE0, 2),
            (0xE1...0xEC, 3), (0xED...0xED, 4), (0xEE...0xEF, 3), (0xF0...0xF0, 5), (0xF1...0xF3, 6),
            (0xF4...0xF4, 7),
        ],
        [(0x80...0xBF, 0)],
        [(0xA0...0xBF, 1)],
        [(0x80...0xBF, 1)],
        [(0x80...0x9F, 1)],
        [(0x90...0xBF, 3)],
        [(0x80...0xBF, 3)],
        [(0x80...0x8F, 3)],
    ]
}
