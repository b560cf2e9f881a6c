public import Serving
public import StructuredOutput
import Synchronization
import Tokenizers

/// Compiles what requests ask of their answers for the vocabulary of one model, and remembers what was used last.
public final class ConstraintCompiler: Sendable {
    private let tokenizer: Tokenizer
    private let endTokens: Set<Int32>
    /// Special tokens that may be part of an answer.
    private let markers: Set<Int32>
    private let vocabularySize: Int
    /// Made at first use: sorting a vocabulary takes as long as loading a small model.
    private let cache = Mutex<ConstraintCache?>(nil)

    init(_ tokenizer: Tokenizer, endTokens: Set<Int32>, markers: Set<Int32>, vocabularySize: Int) {
        (self.tokenizer, self.endTokens, self.markers) = (tokenizer, endTokens, markers)
        self.vocabularySize = vocabularySize
    }

    /// The vocabulary as constraints see it: special tokens are no text.
    private func makeCache() -> ConstraintCache {
        let vocabulary = (0..<vocabularySize).map { index -> [UInt8] in
            let token = Int32(index)
            return tokenizer.isSpecial(token) && !markers.contains(token) ? [] : tokenizer.bytes(of: token)
        }
        return ConstraintCache(
            tokens: TokenTrie(vocabulary: vocabulary, endTokens: endTokens.map { Int($0) }))
    }

    /// Does beforehand what the first constraint would wait for.
    public func prepare() { _ = prepared }

    private var prepared: ConstraintCache {
        cache.withLock { cache in
            let known = cache ?? makeCache()
            cache = known
            return known
        }
    }

    /// Errors: those of `CompiledConstraint`.
    public func compiled(_ constraint: AnswerConstraint) throws(StructuredOutputError) -> CompiledConstraint {
        try prepared.compiled(constraint)
    }
}

/// Keeps an answer within a grammar, from its beginning or from after a marker on.
public struct GrammarConstraint: TokenConstraint {
    private var matcher: GrammarMatcher
    private var prelude: Prelude?

    /// Text before the grammar's part of the answer, which may be anything but its end.
    private struct Prelude {
        let marker: [UInt8]
        let allowed: [UInt64]
        /// The last bytes so far.
        var tail: [UInt8] = []

        /// Takes bytes; those after the marker, once it is there.
        mutating func advance(_ bytes: [UInt8]) -> ArraySlice<UInt8>? {
            for (index, byte) in bytes.enumerated() {
                tail.append(byte)
                if tail.count > marker.count { tail.removeFirst() }
                if tail == marker { return bytes[(index + 1)...] }
            }
            return nil
        }
    }

    /// - Parameter marker: What stands before the part of the answer that the grammar is for.
    public init(_ grammar: CompiledGrammar, after marker: String? = nil) {
        matcher = grammar.matcher()
        prelude = marker.map { marker in
            let ends = TokenMask(grammar.tokens.endTokens, vocabularySize: grammar.tokens.vocabularySize)
            return Prelude(marker: Array(marker.utf8), allowed: ends.complement.words)
        }
    }

    public func allowedTokens() throws -> [UInt64]? {
        if let prelude { return prelude.allowed }
        var mask = TokenMask(vocabularySize: 0)
        try matcher.allowedTokens(into: &mask)
        return mask.words
    }

    public mutating func advance(with token: Int32) throws {
        guard prelude != nil else { return try advance(matcher.advance(Int(token))) }
        guard let rest = prelude?.advance(matcher.grammar.tokens.bytes(of: Int(token))) else { return }
        prelude = nil
        let begun = rest.drop { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\n") }
        try advance(begun.isEmpty || matcher.advance(bytes: Array(begun)))
    }

    private func advance(_ isAllowed: Bool) throws {
        guard isAllowed else {
            throw StructuredOutputError(
                .violated, at: "answer", expected: "a token of the grammar", found: "another")
        }
    }

    public var mustEnd: Bool { prelude == nil && matcher.mustEnd }
}

/// Lets an answer have no other tokens than some.
public struct AllowedTokens: TokenConstraint {
    private let words: [UInt64]

    /// - Parameter tokens: Those beyond the vocabulary are left out.
    public init(_ tokens: some Sequence<Int32>, vocabularySize: Int) {
        words = TokenMask(tokens.map { Int($0) }, vocabularySize: vocabularySize).words
    }

    public func allowedTokens() throws -> [UInt64]? { words }
    public mutating func advance(with token: Int32) throws {}
    public var mustEnd: Bool { false }
}
