/// How tokens become text again.
struct TokenDecoder: Sendable {
    /// What a token contributes.
    enum Piece: Equatable {
        case bytes([UInt8])
        /// A byte that a vocabulary of characters had no token for.
        case fallback(UInt8)
    }

    enum Style: Sendable {
        /// Tokens are bytes; text is what they decode to, U+FFFD for what is no UTF-8.
        case bytes
        /// Tokens are text in which `mark` stands for a space.
        case text(mark: [UInt8]?, fallsBackToBytes: Bool)
        /// Whatever tokenizer.json says.
        case steps([DecoderStep])
    }

    let style: Style
    /// Spaces dropped from the start of the whole text.
    var strippedSpaces = 0
    var fallbackRuns = FallbackRuns.whole
    /// Whether whole texts are decoded as InternLM's code does it: a space before the text before a special
    /// token that is shown, and no spaces before punctuation.
    var tidiesText = false

    /// What becomes of bytes in a row that are no UTF-8 together.
    enum FallbackRuns: Sendable {
        /// U+FFFD for each of them: tokenizer.json's `ByteFallback`.
        case whole
        /// The characters that there are, and U+FFFD for each other byte: SentencePiece.
        case characters
    }

    init(style: Style, strippedSpaces: Int = 0) {
        (self.style, self.strippedSpaces) = (style, strippedSpaces)
    }

    /// The simplest style that does what `steps` say.
    init(steps: [DecoderStep]) {
        var (rest, mark, fallsBack) = (steps[...], [UInt8]?.none, false)
        if case .replace(let old, let new)? = rest.first, new == [UInt8(ascii: " ")] {
            (mark, rest) = (old, rest.dropFirst())
        }
        if case .byteFallback? = rest.first { (fallsBack, rest) = (true, rest.dropFirst()) }
        if case .fuse? = rest.first {
            rest = rest.dropFirst()
            switch rest.first {
            case nil: self.init(style: .text(mark: mark, fallsBackToBytes: fallsBack))
            case .strip([UInt8(ascii: " ")], let start, 0)? where rest.count == 1:
                self.init(style: .text(mark: mark, fallsBackToBytes: fallsBack), strippedSpaces: start)
            default: self.init(style: .steps(steps))
            }
        } else {
            self.init(style: .steps(steps))
        }
    }

    func piece(_ token: ArraySlice<UInt8>) -> Piece {
        switch style {
        case .bytes: return .bytes(Array(token))
        case .text(let mark, let fallsBack):
            if fallsBack, let byte = Self.byteToken(token) { return .fallback(byte) }
            return .bytes(mark.map { DecoderStep.replace(token, $0, [UInt8(ascii: " ")]) } ?? Array(token))
        case .steps: return .bytes(text(ofAll: [Array(token)], continuing: true))
        }
    }

    /// The text of a list of tokens by the steps.
    func text(ofAll tokens: [[UInt8]], continuing: Bool) -> [UInt8] {
        guard case .steps(let steps) = style else { return [] }
        return Array(steps.reduce(tokens) { $1.apply($0, continuing: continuing) }.joined())
    }

    /// A run of fallback bytes as text.
    func text(ofRun run: [UInt8]) -> [UInt8] {
        guard fallbackRuns == .characters else { return DecoderStep.textOfRun(run) }
        var (text, rest) = ([UInt8](), run)
        while !rest.isEmpty {
            text += takeCharacter(&rest) ?? Array("\u{FFFD}".utf8)
        }
        return text
    }

    /// The character that `bytes` begin with, or U+FFFD for a byte that begins none; nil, leaving one byte
    /// less, where the end cuts it off.
    fileprivate func takeCharacter(_ bytes: inout [UInt8]) -> [UInt8]? {
        let width = bytes.first.map(utf8Width) ?? 0
        let character = Array(bytes.prefix(width))
        if String(validating: character, as: UTF8.self) != nil {
            bytes.removeFirst(width)
            return character
        }
        let isCutOff = character.count == bytes.count && completePrefix(character) == 0
        bytes.removeFirst()
        return isCutOff ? nil : Array("\u{FFFD}".utf8)
    }

    /// The byte that `<0xAB>` names.
    static func byteToken(_ token: ArraySlice<UInt8>) -> UInt8? {
        guard token.count == 6, token.starts(with: [0x3C, 0x30, 0x78]), token.last == UInt8(ascii: ">") else {
            return nil
        }
        return UInt8(String(decoding: token.dropFirst(3).dropLast(), as: UTF8.self), radix: 16)
    }
}

/// Turns tokens into text as they come, never ending in the middle of a character.
public struct StreamingDecoder: Sendable {
    private let tokenizer: Tokenizer
    private let skipsSpecialTokens: Bool
    /// Bytes that do not make whole characters yet.
    private var pending: [UInt8] = []
    private var pendingIsFallback = false
    private var spacesToStrip: Int
    private var window: DecodingWindow?

    init(_ tokenizer: Tokenizer, skipsSpecialTokens: Bool, continuing: Bool) {
        (self.tokenizer, self.skipsSpecialTokens) = (tokenizer, skipsSpecialTokens)
        spacesToStrip = continuing ? 0 : tokenizer.decoder.strippedSpaces
        if case .steps = tokenizer.decoder.style {
            window = DecodingWindow(decoder: tokenizer.decoder, continuing: continuing)
        }
    }

    /// The text that became certain with `token`; often empty.
    public mutating func append(_ token: Int32) -> String {
        if skipsSpecialTokens, tokenizer.isSpecial(token) { return "" }
        if window != nil { return window?.append(Array(tokenizer.shownBytes(of: token))) ?? "" }
        switch tokenizer.decoder.piece(tokenizer.shownBytes(of: token)) {
        case .bytes(let bytes):
            var text = pendingIsFallback ? endRun() : ""
            pending += bytes
            text += takeWholeCharacters()
            return stripped(text)
        case .fallback(let byte):
            var text = pendingIsFallback ? "" : endRun()
            pendingIsFallback = true
            pending.append(byte)
            if tokenizer.decoder.fallbackRuns == .characters { return stripped(text + takeCharacters()) }
            // Whole characters leave as soon as they are; a run that is none yet may still become one.
            if let valid = String(validating: pending, as: UTF8.self) {
                text += valid
                pending = []
            }
            return stripped(text)
        }
    }

    /// The rest: what never became a character is U+FFFD.
    public mutating func finish() -> String { window?.finish() ?? stripped(endRun()) }

    private mutating func endRun() -> String {
        defer { (pending, pendingIsFallback) = ([], false) }
        return String(
            decoding: pendingIsFallback ? tokenizer.decoder.text(ofRun: pending) : pending, as: UTF8.self)
    }

    private mutating func takeCharacters() -> String {
        var (text, rest) = ([UInt8](), pending)
        while !rest.isEmpty, let character = tokenizer.decoder.takeCharacter(&rest) {
            text += character
            pending = rest
        }
        return String(decoding: text, as: UTF8.self)
    }

    private mutating func takeWholeCharacters() -> String {
        let complete = completePrefix(pending)
        defer { pending.removeFirst(complete) }
        return String(decoding: pending[..<complete], as: UTF8.self)
    }

    private mutating func stripped(_ text: String) -> String {
        guard spacesToStrip > 0, !text.isEmpty else { return text }
        let spaces = text.utf8.prefix(spacesToStrip).prefix { $0 == UInt8(ascii: " ") }.count
        spacesToStrip = spaces == text.utf8.count ? spacesToStrip - spaces : 0
        return String(text.unicodeScalars.dropFirst(spaces))
    }
}

/// Decodes a stream by steps that need to see a token's neighbours: each new text is what the last tokens
/// say with the new one, less what they said without it.
private struct DecodingWindow: Sendable {
    let decoder: TokenDecoder
    /// Whether the first token of the window follows others.
    private var continuing: Bool
    private var tokens: [[UInt8]] = []
    /// How many of the tokens have been told.
    private var told = 0

    /// A run without one whole character is told after so many tokens; a character has 4 bytes at most.
    private static let mostWaiting = 8

    init(decoder: TokenDecoder, continuing: Bool) { (self.decoder, self.continuing) = (decoder, continuing) }

    mutating func append(_ token: [UInt8]) -> String {
        tokens.append(token)
        return advance(isLast: tokens.count - told >= Self.mostWaiting)
    }

    mutating func finish() -> String { told < tokens.count ? advance(isLast: true) : "" }

    private mutating func advance(isLast: Bool) -> String {
        let before = decoder.text(ofAll: Array(tokens[..<told]), continuing: continuing)
        let after = decoder.text(ofAll: tokens, continuing: continuing)
        guard isLast || !after.suffix(3).elementsEqual([0xEF, 0xBF, 0xBD]) else { return "" }
        if told > 0 {
            tokens.removeFirst(told)
            continuing = true
        }
        told = tokens.count
        return String(decoding: after.dropFirst(before.count), as: UTF8.self)
    }
}

/// How many of `bytes` lie before a sequence that the end cuts off.
func completePrefix(_ bytes: [UInt8]) -> Int {
    for back in 1...4 where back <= bytes.count {
        let byte = bytes[bytes.count - back]
        if byte & 0xC0 == 0x80 { continue }
        return byte >= 0xC0 && utf8Width(byte) > back ? bytes.count - back : bytes.count
    }
    return bytes.count
}
