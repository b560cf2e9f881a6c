/// Text to tokens and back.
///
/// Text is cut at added tokens, normalised, cut into pieces, and each piece encoded; the names of the stages
/// are those of tokenizer.json.
public struct Tokenizer: Sendable {
    let vocabulary: Vocabulary
    let addedTokens: [AddedToken]
    let normalizer: Normalizer?
    let preTokenizer: PreTokenizer?
    let model: BytePairModel
    /// Tokens put before and after a text.
    let prefix: [Int32]
    let suffix: [Int32]
    let decoder: TokenDecoder
    private let special: Set<Int32>
    private let rawMatcher: AddedTokenMatcher
    private let normalizedMatcher: AddedTokenMatcher

    init(
        addedTokens: [AddedToken], normalizer: Normalizer?, preTokenizer: PreTokenizer?, model: BytePairModel,
        prefix: [Int32], suffix: [Int32], decoder: TokenDecoder
    ) {
        vocabulary = model.vocabulary
        (self.addedTokens, self.normalizer, self.preTokenizer) = (addedTokens, normalizer, preTokenizer)
        (self.model, self.prefix, self.suffix, self.decoder) = (model, prefix, suffix, decoder)
        special = Set(addedTokens.filter(\.isSpecial).map(\.id))
        rawMatcher = AddedTokenMatcher(addedTokens.filter { !$0.isNormalized })
        normalizedMatcher = AddedTokenMatcher(addedTokens.filter(\.isNormalized))
    }

    public var vocabularySize: Int { vocabulary.count }

    /// The text with `mark` in every special or other added token that it spells out, so that
    /// `encode(_:literalMark:)` takes them for text.
    public func marking(_ text: String, with mark: Unicode.Scalar) -> String {
        let bytes = rawMatcher.marking(Array(text.utf8), with: Array(String(mark).utf8))
        return String(decoding: bytes, as: UTF8.self)
    }

    public func isSpecial(_ id: Int32) -> Bool { special.contains(id) }

    /// The token of exactly this content.
    public func id(of token: String) -> Int32? {
        addedTokens.first { $0.content == token }?.id ?? vocabulary.id(of: token)
    }

    /// The bytes that `id` adds to a text; none for an id outside the vocabulary.
    public func bytes(of id: Int32) -> [UInt8] {
        switch decoder.piece(vocabulary.bytes(of: id)) {
        case .bytes(let bytes): bytes
        case .fallback(let byte): [byte]
        }
    }

    /// The token as text; U+FFFD for what is no whole character.
    public func token(_ id: Int32) -> String { String(decoding: bytes(of: id), as: UTF8.self) }

    /// The tokens of `text`. With `addsSpecialTokens` those that the model expects around a text come along;
    /// with `parsesSpecialTokens` special tokens spelled out in the text become what they name.
    public func encode(
        _ text: String, addsSpecialTokens: Bool = true, parsesSpecialTokens: Bool = false
    ) throws(TokenizerError) -> [Int32] {
        var tokens = addsSpecialTokens ? prefix : []
        let bytes = Array(text.utf8)
        for part in rawMatcher.split(bytes, special: parsesSpecialTokens) {
            switch part {
            case .token(let id): tokens.append(id)
            case .text(let range):
                try encode(
                    String(decoding: bytes[range], as: UTF8.self), isStart: range.lowerBound == 0,
                    special: parsesSpecialTokens, into: &tokens)
            }
        }
        return tokens + (addsSpecialTokens ? suffix : [])
    }

    /// The tokens of a text in which special tokens count, but not where `literalMark` interrupts them; the
    /// marks themselves are left out.
    public func encode(_ text: String, literalMark: Unicode.Scalar) throws(TokenizerError) -> [Int32] {
        var tokens: [Int32] = []
        let bytes = Array(text.utf8)
        for part in rawMatcher.split(bytes, special: true) {
            switch part {
            case .token(let id): tokens.append(id)
            case .text(let range):
                let marked = String(decoding: bytes[range], as: UTF8.self)
                let plain = String(
                    String.UnicodeScalarView(marked.unicodeScalars.filter { $0 != literalMark }))
                // The stage after this one looks for the tokens of normalised text only.
                try encode(plain, isStart: range.lowerBound == 0, special: plain == marked, into: &tokens)
            }
        }
        return tokens
    }

    private func encode(
        _ text: String, isStart: Bool, special: Bool, into tokens: inout [Int32]
    ) throws(TokenizerError) {
        let normalized = Array((try normalizer?.apply(text) ?? text).utf8)
        for part in normalizedMatcher.split(normalized, special: special) {
            switch part {
            case .token(let id): tokens.append(id)
            case .text(let range):
                let isStart = isStart && range.lowerBound == 0
                let pieces = try preTokenizer?.apply([Array(normalized[range])], isStart: isStart)
                for piece in pieces ?? [Array(normalized[range])] { model.encode(piece[...], into: &tokens) }
            }
        }
    }

    /// The text of `tokens`; ids outside the vocabulary add nothing.
    public func decode(_ tokens: [Int32], skipsSpecialTokens: Bool = true) -> String {
        var (bytes, run): ([UInt8], [UInt8]) = ([], [])
        func endRun() {
            let isValid = String(validating: run, as: UTF8.self) != nil
            bytes += isValid ? run : Array(String(repeating: "\u{FFFD}", count: run.count).utf8)
            run = []
        }
        for token in tokens where !(skipsSpecialTokens && isSpecial(token)) {
            switch decoder.piece(vocabulary.bytes(of: token)) {
            case .fallback(let byte): run.append(byte)
            case .bytes(let piece):
                endRun()
                bytes += piece
            }
        }
        endRun()
        let spaces = bytes.prefix(decoder.strippedSpaces).prefix { $0 == UInt8(ascii: " ") }.count
        return String(decoding: bytes.dropFirst(spaces), as: UTF8.self)
    }

    /// A decoder for tokens that come one at a time; `continuing` means that they follow other text, so that
    /// a leading space belongs to them.
    public func makeStreamingDecoder(skipsSpecialTokens: Bool = true, continuing: Bool = false)
        -> StreamingDecoder
    {
        StreamingDecoder(self, skipsSpecialTokens: skipsSpecialTokens, continuing: continuing)
    }
}
