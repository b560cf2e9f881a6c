/// Tokens that are found in the text before anything else is done with it.
struct AddedToken: Sendable {
    let id: Int32
    let content: String
    /// Control tokens; left out of decoded text on request, and not recognised in untrusted text.
    let isSpecial: Bool
    /// Whether it is looked for in the normalised text rather than in the text itself.
    var isNormalized = false
    var takesSpaceLeft = false
    var takesSpaceRight = false
    var isSingleWord = false
}

/// Finds added tokens: leftmost first, the longest at a place.
struct AddedTokenMatcher: Sendable {
    private struct Node {
        var next: [UInt8: Int] = [:]
        var token: Int?
    }

    private let tokens: [AddedToken]
    private var nodes = [Node()]
    private var begins = [Bool](repeating: false, count: 256)

    init(_ tokens: [AddedToken]) {
        self.tokens = tokens
        for (index, token) in tokens.enumerated() where !token.content.isEmpty {
            var node = 0
            for byte in token.content.utf8 {
                if let next = nodes[node].next[byte] {
                    node = next
                } else {
                    nodes.append(Node())
                    nodes[node].next[byte] = nodes.count - 1
                    node = nodes.count - 1
                }
            }
            nodes[node].token = nodes[node].token ?? index
            begins[Int(token.content.utf8.first ?? 0)] = true
        }
    }

    var isEmpty: Bool { tokens.isEmpty }

    /// A part of a text: a token, or what lies between tokens.
    enum Part {
        case text(Range<Int>)
        case token(Int32)
    }

    /// Cuts `text`; special tokens count as text unless `special`.
    func split(_ text: [UInt8], special: Bool) -> [Part] {
        guard !isEmpty else { return text.isEmpty ? [] : [.text(0..<text.count)] }
        var (parts, start, index): ([Part], Int, Int) = ([], 0, 0)
        while index < text.count {
            guard begins[Int(text[index])], let (token, end) = longest(text, at: index, special: special)
            else {
                index += 1
                continue
            }
            let range = extended(index..<end, token, text, from: start)
            if range.lowerBound > start { parts.append(.text(start..<range.lowerBound)) }
            parts.append(.token(token.id))
            (start, index) = (range.upperBound, range.upperBound)
        }
        if start < text.count { parts.append(.text(start..<text.count)) }
        return parts
    }

    /// `text` with `mark` after the first character of every place where a special token begins.
    func marking(_ text: [UInt8], with mark: [UInt8]) -> [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(text.count)
        var index = 0
        while index < text.count {
            let width = min(utf8Width(text[index]), text.count - index)
            let isToken = begins[Int(text[index])] && longest(text, at: index, special: true) != nil
            result += text[index..<index + width]
            if isToken { result += mark }
            index += width
        }
        return result
    }

    private func longest(_ text: [UInt8], at start: Int, special: Bool) -> (AddedToken, Int)? {
        var (node, index): (Int, Int) = (0, start)
        var found: (AddedToken, Int)?
        while index < text.count, let next = nodes[node].next[text[index]] {
            (node, index) = (next, index + 1)
            if let match = nodes[node].token, special || !tokens[match].isSpecial {
                if tokens[match].isSingleWord, !standsAlone(start..<index, text) { continue }
                found = (tokens[match], index)
            }
        }
        return found
    }

    private func standsAlone(_ range: Range<Int>, _ text: [UInt8]) -> Bool {
        func isWord(_ byte: UInt8) -> Bool {
            byte >= 0x80 || byte == UInt8(ascii: "_") || Character(Unicode.Scalar(byte)).isLetter
                || Character(Unicode.Scalar(byte)).isNumber
        }
        return !(range.lowerBound > 0 && isWord(text[range.lowerBound - 1]))
            && !(range.upperBound < text.count && isWord(text[range.upperBound]))
    }

    /// With the spaces that the token swallows.
    private func extended(_ range: Range<Int>, _ token: AddedToken, _ text: [UInt8], from start: Int)
        -> Range<Int>
    {
        var (lower, upper) = (range.lowerBound, range.upperBound)
        while token.takesSpaceLeft, lower > start, isSpace(text[lower - 1]) { lower -= 1 }
        while token.takesSpaceRight, upper < text.count, isSpace(text[upper]) { upper += 1 }
        return lower..<upper
    }

    private func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0D).contains(byte) }
}
