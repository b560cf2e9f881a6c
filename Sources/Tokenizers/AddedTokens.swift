/// Tokens that are found in the text before anything else is done with it.
struct AddedToken: Sendable, Equatable {
    let id: Int32
    let content: String
    /// Control tokens; left out of decoded text on request, and not recognised in untrusted text.
    var isSpecial: Bool
    /// Whether it is looked for in the normalised text rather than in the text itself.
    var isNormalized = false
    var takesSpaceLeft = false
    var takesSpaceRight = false
    var isSingleWord = false
    /// Whether only a chat template can name it (ChatGLM's).
    var isForTemplates = false
}

/// Finds added tokens: leftmost first, the longest at a place.
struct AddedTokenMatcher: Sendable {
    /// Which of the special tokens count.
    enum Recognition {
        /// None: they are text.
        case none
        /// Those that a text may spell out.
        case spelled
        /// All, as in a chat template.
        case template
    }

    private let tokens: [AddedToken]
    private let trie: ByteTrie

    init(_ tokens: [AddedToken], spelledAs spelling: (AddedToken) -> String = \.content) {
        self.tokens = tokens
        trie = ByteTrie(tokens.enumerated().map { (Array(spelling($1).utf8)[...], Int32($0)) })
    }

    var isEmpty: Bool { tokens.isEmpty }

    /// A part of a text: a token, or what lies between tokens.
    enum Part {
        case text(Range<Int>)
        case token(Int32)
    }

    /// Cuts `text` at the tokens in it.
    func split(_ text: [UInt8], _ recognition: Recognition) -> [Part] {
        guard !isEmpty else { return text.isEmpty ? [] : [.text(0..<text.count)] }
        var (parts, start, index): ([Part], Int, Int) = ([], 0, 0)
        while let (token, range) = next(text, from: index, recognition) {
            index = range.upperBound
            guard let range = extended(range, token, text, from: start) else { continue }
            if range.lowerBound > start { parts.append(.text(start..<range.lowerBound)) }
            parts.append(.token(token.id))
            (start, index) = (range.upperBound, range.upperBound)
        }
        if start < text.count { parts.append(.text(start..<text.count)) }
        return parts
    }

    /// `text` with `mark` after the first character of every place where a token begins.
    func marking(_ text: [UInt8], with mark: [UInt8]) -> [UInt8] {
        guard !isEmpty else { return text }
        var (result, start): ([UInt8], Int) = ([], 0)
        result.reserveCapacity(text.count)
        while let (_, range) = next(text, from: start, .template) {
            let after = min(range.lowerBound + utf8Width(text[range.lowerBound]), text.count)
            result += text[start..<after] + mark
            start = after
        }
        return result + text[start...]
    }

    private func next(_ text: [UInt8], from start: Int, _ recognition: Recognition) -> (
        AddedToken, Range<Int>
    )? {
        text.withUnsafeBufferPointer { bytes in
            for index in start..<bytes.count where trie.mayBegin(with: bytes[index]) {
                var found: (Int, Int)?
                trie.prefixes(of: bytes, at: index) { token, end in
                    let token = Int(token)
                    if counts(tokens[token], recognition) { found = (token, end) }
                }
                if let (token, end) = found { return (tokens[token], index..<end) }
            }
            return nil
        }
    }

    private func counts(_ token: AddedToken, _ recognition: Recognition) -> Bool {
        switch recognition {
        case .none: !token.isSpecial
        case .spelled: !token.isForTemplates
        case .template: true
        }
    }

    /// With the spaces that the token swallows; nil where it does not stand alone but must.
    private func extended(_ range: Range<Int>, _ token: AddedToken, _ text: [UInt8], from start: Int)
        -> Range<Int>?
    {
        guard token.isSingleWord || token.takesSpaceLeft || token.takesSpaceRight else { return range }
        let before = scalar(endingAt: range.lowerBound, text)
        let after = scalar(startingAt: range.upperBound, text)
        if token.isSingleWord, before.map(isWord) ?? false || after.map(isWord) ?? false { return nil }
        var (lower, upper) = (range.lowerBound, range.upperBound)
        while token.takesSpaceLeft, lower > start, let space = scalar(endingAt: lower, text),
            space.properties.isWhitespace
        {
            lower -= UTF8.width(space)
        }
        while token.takesSpaceRight, let space = scalar(startingAt: upper, text),
            space.properties.isWhitespace
        {
            upper += UTF8.width(space)
        }
        return max(lower, start)..<upper
    }

    private func scalar(endingAt end: Int, _ text: [UInt8]) -> Unicode.Scalar? {
        var start = end - 1
        while start > 0, end - start < 4, text[start] & 0xC0 == 0x80 { start -= 1 }
        return start >= 0 ? String(decoding: text[start..<end], as: UTF8.self).unicodeScalars.first : nil
    }

    private func scalar(startingAt start: Int, _ text: [UInt8]) -> Unicode.Scalar? {
        guard start < text.count else { return nil }
        let end = min(start + utf8Width(text[start]), text.count)
        return String(decoding: text[start..<end], as: UTF8.self).unicodeScalars.first
    }

    private func isWord(_ scalar: Unicode.Scalar) -> Bool {
        scalar == "_" || !CharacterClass(scalar).isDisjoint(with: [.letter, .number, .mark])
    }
}
