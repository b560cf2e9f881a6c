/// Text to tokens and back.
///
/// Text is cut at added tokens, normalised, cut into pieces, and each piece encoded; the names of the stages
/// are those of tokenizer.json.
public struct Tokenizer: Sendable {
    /// Where the pieces of a tokenizer come together; see `init(_:)`.
    struct Parts {
        var addedTokens: [AddedToken] = []
        var normalizer: Normalizer?
        var preTokenizer: PreTokenizer?
        var model: TokenModel
        /// Tokens put before and after a text.
        var prefix: [Int32] = []
        var suffix: [Int32] = []
        var decoder: TokenDecoder
        /// How an added token reads in normalised text; its content by default.
        var normalizedSpelling: (AddedToken) -> String = \.content
    }

    let vocabulary: Vocabulary
    let addedTokens: [AddedToken]
    let decoder: TokenDecoder
    private let normalizer: Normalizer?
    private let preTokenizer: PreTokenizer?
    private let model: TokenModel
    private let prefix: [Int32]
    private let suffix: [Int32]
    private let special: Set<Int32>
    private let hidden: Set<Int32>
    private let rawMatcher: AddedTokenMatcher
    private let normalizedMatcher: AddedTokenMatcher

    init(_ parts: Parts) {
        vocabulary = parts.model.vocabulary
        (addedTokens, decoder, model) = (parts.addedTokens, parts.decoder, parts.model)
        (normalizer, preTokenizer) = (parts.normalizer, parts.preTokenizer)
        (prefix, suffix) = (parts.prefix, parts.suffix)
        special = Set(addedTokens.filter(\.isSpecial).map(\.id))
        hidden = Set(addedTokens.filter(\.isForTemplates).map(\.id))
        rawMatcher = AddedTokenMatcher(addedTokens.filter { !$0.isNormalized })
        normalizedMatcher = AddedTokenMatcher(
            addedTokens.filter(\.isNormalized), spelledAs: parts.normalizedSpelling)
    }

    public var vocabularySize: Int { vocabulary.count }

    /// Bytes of the longest token.
    public var longestToken: Int {
        max(vocabulary.longestToken, addedTokens.map(\.content.utf8.count).max() ?? 0)
    }

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
        switch decoder.piece(shownBytes(of: id)) {
        case .bytes(let bytes): bytes
        case .fallback(let byte): [byte]
        }
    }

    /// The token as text; U+FFFD for what is no whole character.
    public func token(_ id: Int32) -> String { String(decoding: bytes(of: id), as: UTF8.self) }

    /// The vocabulary's bytes of a token, unless it never shows in text.
    func shownBytes(of id: Int32) -> ArraySlice<UInt8> { hidden.contains(id) ? [] : vocabulary.bytes(of: id) }

    /// The tokens of `text`. With `addsSpecialTokens` those that the model expects around a text come along;
    /// with `parsesSpecialTokens` special tokens spelled out in the text become what they name.
    public func encode(
        _ text: String, addsSpecialTokens: Bool = true, parsesSpecialTokens: Bool = false
    ) throws(TokenizerError) -> [Int32] {
        var tokens = addsSpecialTokens ? prefix : []
        let bytes = Array(text.utf8)
        let recognition = parsesSpecialTokens ? AddedTokenMatcher.Recognition.spelled : .none
        for part in rawMatcher.split(bytes, recognition) {
            switch part {
            case .token(let id): tokens.append(id)
            case .text(let range):
                try encode(Array(bytes[range]), isStart: range.lowerBound == 0, recognition, into: &tokens)
            }
        }
        return tokens + (addsSpecialTokens ? suffix : [])
    }

    /// The tokens of a text in which special tokens count, but not where `literalMark` interrupts them; the
    /// marks themselves are left out.
    public func encode(_ text: String, literalMark: Unicode.Scalar) throws(TokenizerError) -> [Int32] {
        var tokens: [Int32] = []
        let bytes = Array(text.utf8)
        let mark = Array(String(literalMark).utf8)
        for part in rawMatcher.split(bytes, .template) {
            switch part {
            case .token(let id): tokens.append(id)
            case .text(let range):
                let plain = DecoderStep.replace(bytes[range], mark, [])
                // The stage after this one looks for the tokens of normalised text only.
                let recognition =
                    plain.count == range.count ? AddedTokenMatcher.Recognition.template : .none
                try encode(plain, isStart: range.lowerBound == 0, recognition, into: &tokens)
            }
        }
        return tokens
    }

    private func encode(
        _ text: [UInt8], isStart: Bool, _ recognition: AddedTokenMatcher.Recognition,
        into tokens: inout [Int32]
    ) throws(TokenizerError) {
        let normalized = try normalizer?.apply(text) ?? text
        for part in normalizedMatcher.split(normalized, recognition) {
            switch part {
            case .token(let id): tokens.append(id)
            case .text(let range):
                var pieces = Pieces(
                    range == 0..<normalized.count ? normalized : Array(normalized[range]))
                try preTokenizer?.apply(&pieces, isStart: isStart && range.lowerBound == 0)
                model.encode(pieces, into: &tokens)
            }
        }
    }

    /// The text of `tokens`; ids outside the vocabulary add nothing.
    public func decode(_ tokens: [Int32], skipsSpecialTokens: Bool = true) -> String {
        let shown = skipsSpecialTokens ? tokens.filter { !isSpecial($0) } : tokens
        if case .steps = decoder.style {
            let texts = shown.map { Array(shownBytes(of: $0)) }.filter { !$0.isEmpty }
            return String(decoding: decoder.text(ofAll: texts, continuing: false), as: UTF8.self)
        }
        guard decoder.tidiesText else { return text(of: shown) }
        var (result, run): (String, [Int32]) = ("", [])
        var lastWasSpecial = false
        for token in shown {
            if isSpecial(token) {
                result += (lastWasSpecial ? "" : " ") + text(of: run) + self.token(token)
                run = []
            } else {
                run.append(token)
            }
            lastWasSpecial = isSpecial(token)
        }
        return DecoderStep.tidied(result + text(of: run))
    }

    private func text(of tokens: [Int32]) -> String {
        var (bytes, run): ([UInt8], [UInt8]) = ([], [])
        for token in tokens {
            switch decoder.piece(shownBytes(of: token)) {
            case .fallback(let byte): run.append(byte)
            case .bytes(let piece):
                bytes += decoder.text(ofRun: run) + piece
                run = []
            }
        }
        bytes += decoder.text(ofRun: run)
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
