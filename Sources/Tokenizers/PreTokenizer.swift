/// Cuts text into the pieces that are encoded each on its own.
indirect enum PreTokenizer: Sendable {
    /// What becomes of the parts that a pattern matches.
    enum Behavior: String, Sendable {
        case removed = "Removed"
        case isolated = "Isolated"
        case mergedWithPrevious = "MergedWithPrevious"
        case mergedWithNext = "MergedWithNext"
        case contiguous = "Contiguous"
    }

    case sequence([PreTokenizer])
    case split(Pattern, Behavior, inverted: Bool)
    /// Puts a space before a piece that does not begin with one.
    case prefixSpace
    /// Replaces spaces by `mark`; puts one before the text as `prepends` says; cuts before each.
    case metaspace(mark: [UInt8], prepends: Prepending, splits: Bool)

    enum Prepending: Sendable {
        case always, first, never
    }

    func apply(_ pieces: [[UInt8]], isStart: Bool) throws(TokenizerError) -> [[UInt8]] {
        switch self {
        case .sequence(let steps):
            var pieces = pieces
            for step in steps { pieces = try step.apply(pieces, isStart: isStart) }
            return pieces
        case .split(let pattern, let behavior, let inverted):
            var result: [[UInt8]] = []
            for piece in pieces { result += try Self.split(piece, pattern, behavior, inverted) }
            return result
        case .prefixSpace:
            let space = UInt8(ascii: " ")
            return pieces.map { $0.first.map { $0 != space } ?? false ? [space] + $0 : $0 }
        case .metaspace(let mark, let prepends, let splits):
            return pieces.enumerated().flatMap { index, piece in
                let isFirst = prepends == .always || (prepends == .first && isStart && index == 0)
                return Self.metaspace(piece, mark, prepends: isFirst, splits: splits)
            }
        }
    }

    private static func split(
        _ piece: [UInt8], _ pattern: Pattern, _ behavior: Behavior, _ inverted: Bool
    ) throws(TokenizerError) -> [[UInt8]] {
        var parts: [(range: Range<Int>, isMatch: Bool)] = []
        var end = 0
        for match in try pattern.matches(in: piece[...]) {
            if match.lowerBound > end { parts.append((end..<match.lowerBound, inverted)) }
            parts.append((match, !inverted))
            end = match.upperBound
        }
        if end < piece.count { parts.append((end..<piece.count, inverted)) }
        return arranged(parts, behavior).map { Array(piece[$0]) }
    }

    private static func arranged(_ parts: [(range: Range<Int>, isMatch: Bool)], _ behavior: Behavior)
        -> [Range<Int>]
    {
        var result: [Range<Int>] = []
        var lastWasMatch = false
        for (range, isMatch) in parts {
            let joins: Bool
            switch behavior {
            case .removed:
                if !isMatch { result.append(range) }
                continue
            case .isolated: joins = false
            case .contiguous: joins = isMatch == lastWasMatch
            case .mergedWithPrevious: joins = isMatch && !lastWasMatch
            case .mergedWithNext: joins = lastWasMatch && !isMatch
            }
            if joins, let last = result.popLast() {
                result.append(last.lowerBound..<range.upperBound)
            } else {
                result.append(range)
            }
            lastWasMatch = isMatch
        }
        return result
    }

    private static func metaspace(_ piece: [UInt8], _ mark: [UInt8], prepends: Bool, splits: Bool)
        -> [[UInt8]]
    {
        var text: [UInt8] = []
        for byte in piece { if byte == UInt8(ascii: " ") { text += mark } else { text.append(byte) } }
        if prepends, !text.starts(with: mark) { text = mark + text }
        guard splits else { return [text] }
        var (result, start, index): ([[UInt8]], Int, Int) = ([], 0, 0)
        while index < text.count {
            if index > start, text[index...].starts(with: mark) {
                result.append(Array(text[start..<index]))
                start = index
            }
            index += 1
        }
        if start < text.count { result.append(Array(text[start...])) }
        return result
    }
}

extension PreTokenizer {
    /// The pattern of GPT-2, which `ByteLevel` brings along.
    static let gpt2Pattern =
        #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#

    static func isolating(_ pattern: String) throws(TokenizerError) -> PreTokenizer {
        .split(try Pattern(pattern), .isolated, inverted: false)
    }

    static func digits(individually: Bool) throws(TokenizerError) -> PreTokenizer {
        .split(try Pattern(#"\p{N}"#), individually ? .isolated : .contiguous, inverted: false)
    }
}
