/// Where one answer is in its grammar. A value: a copy goes its own way.
public struct GrammarMatcher: Sendable {
    public let grammar: CompiledGrammar
    private var configuration: Configuration
    /// Whether an end token has been taken; nothing may follow.
    public private(set) var isFinished = false

    init(grammar: CompiledGrammar, configuration: Configuration) {
        (self.grammar, self.configuration) = (grammar, configuration)
    }

    /// Whether the answer may end here.
    public var isComplete: Bool { configuration.accepts }

    /// Whether nothing but the end may follow.
    public var mustEnd: Bool { isFinished || configuration.accepts && configuration.items.isEmpty }

    /// Whether the token may come next.
    public func accepts(_ token: Int) -> Bool {
        var copy = self
        return copy.advance(token)
    }

    /// Takes the token; false, and no change, when it may not come next.
    public mutating func advance(_ token: Int) -> Bool {
        guard !isFinished, grammar.tokens.bytes.indices.contains(token) else { return false }
        if grammar.tokens.endTokens.contains(token) {
            guard isComplete else { return false }
            isFinished = true
            return true
        }
        return advance(bytes: grammar.tokens.bytes[token])
    }

    /// Takes text that came by other ways than a token; false, and no change, when it may not come next or is
    /// empty.
    public mutating func advance(bytes: [UInt8]) -> Bool {
        guard !isFinished, !bytes.isEmpty, let next = grammar.advance(configuration, by: bytes) else {
            return false
        }
        configuration = next
        return true
    }

    /// Replaces `mask` by the tokens that may come next.
    ///
    /// Errors: `deadEnd` when there is none, which takes a vocabulary that lacks single bytes; `tooComplex`.
    public func allowedTokens(into mask: inout TokenMask) throws(StructuredOutputError) {
        guard !isFinished else {
            mask = TokenMask(vocabularySize: grammar.tokens.vocabularySize)
            return
        }
        try grammar.allowedTokens(configuration, into: &mask)
        guard !mask.isEmpty else {
            throw StructuredOutputError(
                .deadEnd, at: "vocabulary", expected: "a token that goes on with the answer", found: "none")
        }
    }

    /// The bytes that must come next whatever the model says, at most `limit` of them.
    public func forcedBytes(limit: Int = 64) -> [UInt8] {
        var (forced, place): ([UInt8], Configuration) = ([], configuration)
        while forced.count < limit, let byte = grammar.forcedByte(place),
            let next = grammar.advance(place, by: [byte])
        {
            forced.append(byte)
            place = next
        }
        return forced
    }
}
