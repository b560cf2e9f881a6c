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
    }

    let style: Style
    /// Spaces dropped from the start of the whole text.
    let strippedSpaces: Int

    func piece(_ token: ArraySlice<UInt8>) -> Piece {
        guard case .text(let mark, let fallsBack) = style else { return .bytes(Array(token)) }
        if fallsBack, let byte = Self.byteToken(token) { return .fallback(byte) }
        guard let mark, let first = mark.first else { return .bytes(Array(token)) }
        var (bytes, index): ([UInt8], Int) = ([], token.startIndex)
        while index < token.endIndex {
            if token[index] == first, token[index...].starts(with: mark) {
                bytes.append(UInt8(ascii: " "))
                index += mark.count
            } else {
                bytes.append(token[index])
                index += 1
            }
        }
        return .bytes(bytes)
    }

    /// The byte that `<0xAB>` names.
    static func byteToken(_ token: ArraySlice<UInt8>) -> UInt8? {
        guard token.count == 6, token.starts(with: Array("<0x".utf8)), token.last == UInt8(ascii: ">") else {
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

    init(_ tokenizer: Tokenizer, skipsSpecialTokens: Bool, continuing: Bool) {
        (self.tokenizer, self.skipsSpecialTokens) = (tokenizer, skipsSpecialTokens)
        spacesToStrip = continuing ? 0 : tokenizer.decoder.strippedSpaces
    }

    /// The text that became certain with `token`; often empty.
    public mutating func append(_ token: Int32) -> String {
        if skipsSpecialTokens, tokenizer.isSpecial(token) { return "" }
        switch tokenizer.decoder.piece(tokenizer.vocabulary.bytes(of: token)) {
        case .bytes(let bytes):
            var text = pendingIsFallback ? finish() : ""
            pending += bytes
            text += takeWholeCharacters()
            return stripped(text)
        case .fallback(let byte):
            var text = pendingIsFallback ? "" : finish()
            pendingIsFallback = true
            pending.append(byte)
            // Whole characters leave as soon as they are; a run that is none yet may still become one.
            if let valid = String(validating: pending, as: UTF8.self) {
                text += valid
                pending = []
            }
            return stripped(text)
        }
    }

    /// The rest: what never became a character is U+FFFD.
    public mutating func finish() -> String {
        defer { (pending, pendingIsFallback) = ([], false) }
        let text =
            pendingIsFallback
            ? String(repeating: "\u{FFFD}", count: pending.count) : String(decoding: pending, as: UTF8.self)
        return stripped(text)
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

/// How many of `bytes` lie before a sequence that the end cuts off.
func completePrefix(_ bytes: [UInt8]) -> Int {
    for back in 1...4 where back <= bytes.count {
        let byte = bytes[bytes.count - back]
        if byte & 0xC0 == 0x80 { continue }
        return byte >= 0xC0 && utf8Width(byte) > back ? bytes.count - back : bytes.count
    }
    return bytes.count
}
