public import Serving
import StructuredOutput
public import Tokenizers

/// Has an answer begin with a text, however that is cut into tokens, and go on in any way.
public struct BeginningConstraint: TokenConstraint {
    private let beginning: [UInt8]
    private let tokenizer: Tokenizer
    /// For each number of bytes that are there, the tokens that may follow.
    private let words: [[UInt64]]
    /// Bytes of `beginning` that are there.
    private var count = 0

    /// Nil when the vocabulary cannot spell the text.
    public init?(_ beginning: String, tokenizer: Tokenizer, vocabularySize: Int) {
        (self.beginning, self.tokenizer) = (Array(beginning.utf8), tokenizer)
        let texts = (0..<Int32(clamping: vocabularySize)).map { token in
            tokenizer.isSpecial(token) ? [] : tokenizer.bytes(of: token)
        }
        var words: [[UInt64]] = []
        // From the end, so that no token is allowed that leads to where none is.
        var canEnd = [Bool](repeating: false, count: self.beginning.count)
        for start in self.beginning.indices.reversed() {
            let rest = self.beginning[start...]
            let allowed = texts.indices.filter { index in
                let text = texts[index]
                guard !text.isEmpty, text.count < rest.count else {
                    return !text.isEmpty && text.starts(with: rest)
                }
                return rest.starts(with: text) && canEnd[start + text.count]
            }
            canEnd[start] = !allowed.isEmpty
            words.append(TokenMask(allowed, vocabularySize: vocabularySize).words)
        }
        guard canEnd.first ?? true else { return nil }
        self.words = words.reversed()
    }

    public func allowedTokens() throws -> [UInt64]? { count < beginning.count ? words[count] : nil }

    public mutating func advance(with token: Int32) throws {
        guard count < beginning.count else { return }
        count += tokenizer.bytes(of: token).count
    }

    public var mustEnd: Bool { false }
}

/// Lets the first token of an answer be one of some; others as another constraint has it.
public struct FirstTokenConstraint: TokenConstraint {
    private let words: [UInt64]
    private var rest: (any TokenConstraint)?
    private var isFirst = true

    /// - Parameter tokens: Those beyond the vocabulary are left out.
    public init(_ tokens: [Int32], vocabularySize: Int, beside rest: (any TokenConstraint)? = nil) {
        words = TokenMask(tokens.map { Int($0) }, vocabularySize: vocabularySize).words
        self.rest = rest
    }

    public func allowedTokens() throws -> [UInt64]? {
        let others = try rest?.allowedTokens()
        guard isFirst else { return others }
        return others.map { zip(words, $0).map { $0 & $1 } } ?? words
    }

    public mutating func advance(with token: Int32) throws {
        isFirst = false
        try rest?.advance(with: token)
    }

    public var mustEnd: Bool { rest?.mustEnd ?? false }
}

/// A prompt whose last tokens are left to the model to choose again, as long as their text stays: a text that was cut
/// in the middle of what would be one token is thereby whole again.
public struct HealedPrompt: Sendable {
    /// What is left of the prompt.
    public let tokens: [Int32]
    /// The text of the tokens that are gone, which the answer begins with.
    public let beginning: String
    public let constraint: BeginningConstraint?

    private static let mostTokens = 2
    private static let mostBytes = 64

    /// At most two tokens go, and one at least stays; special tokens stay, as does what is no text by itself.
    public init(_ prompt: [Int32], for generator: TextGenerator) {
        let tokenizer = generator.tokenizer
        for count in (1...Self.mostTokens).reversed() where count < prompt.count {
            let dropped = prompt.suffix(count)
            let bytes = dropped.flatMap { tokenizer.bytes(of: $0) }
            guard !dropped.contains(where: tokenizer.isSpecial), bytes.count <= Self.mostBytes,
                let text = String(validating: bytes, as: UTF8.self),
                let constraint = BeginningConstraint(
                    text, tokenizer: tokenizer, vocabularySize: generator.engine.vocabularySize)
            else { continue }
            (tokens, beginning, self.constraint) = (prompt.dropLast(count), text, constraint)
            return
        }
        (tokens, beginning, constraint) = (prompt, "", nil)
    }
}
