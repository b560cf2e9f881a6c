/// Patterns of well-known tokenizers, cut by hand; several times as fast as the regular expression.
///
/// `matches` finds exactly what the regular expression finds (KnownPatternTests compares them).
enum KnownPattern: Sendable, Equatable {
    /// GPT-2's, which `ByteLevel` brings along.
    case gpt2
    /// cl100k's, of which Llama 3 (3 digits) and Qwen2 (1 digit) have variants.
    case contractions(mostDigits: Int)
    /// Single characters of category N, or runs of them.
    case digits(individually: Bool)
    /// Runs of White_Space.
    case spaces

    static let gpt2Source = #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#

    static func contractionsSource(_ digits: String) -> String {
        #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"# + digits
            + #"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
    }

    init?(_ source: String) {
        switch source {
        case Self.gpt2Source: self = .gpt2
        case Self.contractionsSource(#"\p{N}{1,3}"#): self = .contractions(mostDigits: 3)
        case Self.contractionsSource(#"\p{N}{1,2}"#): self = .contractions(mostDigits: 2)
        case Self.contractionsSource(#"\p{N}"#): self = .contractions(mostDigits: 1)
        case Self.contractionsSource(#"\p{N}+"#): self = .contractions(mostDigits: .max)
        case #"\p{N}"#: self = .digits(individually: true)
        case #"\p{N}+"#: self = .digits(individually: false)
        case #"\s+"#: self = .spaces
        default: return nil
        }
    }

    /// Hands the matches within `range` to `found`, from left to right.
    @inline(__always)
    func matches(in text: TextView, _ range: Range<Int>, _ found: (Range<Int>) -> Void) {
        var index = range.lowerBound
        let end = range.upperBound
        switch self {
        case .gpt2:
            while index < end {
                let next = Self.gpt2(text, index, end)
                found(index..<next)
                index = next
            }
        case .contractions(let most):
            while index < end {
                let next = Self.contraction(text, index, end, most)
                found(index..<next)
                index = next
            }
        case .digits(let individually):
            Self.runs(text, range, .number, atMost: individually ? 1 : .max, found)
        case .spaces: Self.runs(text, range, .space, atMost: .max, found)
        }
    }

    private static func runs(
        _ text: TextView, _ range: Range<Int>, _ wanted: CharacterClass, atMost limit: Int,
        _ found: (Range<Int>) -> Void
    ) {
        var index = range.lowerBound
        while true {
            index = text.run(index, before: range.upperBound, wanted, negated: true)
            guard index < range.upperBound else { return }
            let next = text.run(index, before: range.upperBound, wanted, atMost: limit)
            found(index..<next)
            index = next
        }
    }

    private static func gpt2(_ text: TextView, _ index: Int, _ end: Int) -> Int {
        if text.byte(index) == UInt8(ascii: "'"),
            let next = contractionEnd(text, index, end, ignoresCase: false)
        {
            return next
        }
        let (first, width) = text.classes(index, before: end)
        var (start, classes) = (index, first)
        if text.byte(index) == UInt8(ascii: " "), index + 1 < end {
            (start, classes) = (index + 1, text.classes(index + 1, before: end).classes)
        }
        if classes.contains(.letter) { return text.run(start, before: end, .letter) }
        if classes.contains(.number) { return text.run(start, before: end, .number) }
        if !classes.contains(.space) {
            return text.run(start, before: end, [.space, .letter, .number], negated: true)
        }
        return spacesEnd(text, index, end, width)
    }

    private static func contraction(_ text: TextView, _ index: Int, _ end: Int, _ mostDigits: Int) -> Int {
        if text.byte(index) == UInt8(ascii: "'"),
            let next = contractionEnd(text, index, end, ignoresCase: true)
        {
            return next
        }
        let (classes, width) = text.classes(index, before: end)
        if classes.contains(.letter) { return text.run(index, before: end, .letter) }
        if classes.contains(.number) {
            return text.run(index, before: end, .number, atMost: mostDigits)
        }
        let second = index + width < end ? text.classes(index + width, before: end).classes : .space
        if second.contains(.letter), !classes.contains(.lineBreak) {
            return text.run(index + width, before: end, .letter)
        }
        let isSpaced = text.byte(index) == UInt8(ascii: " ") && second.isDisjoint(with: [.space, .number])
        if !classes.contains(.space) || isSpaced {
            let rest = text.run(index + width, before: end, [.space, .letter, .number], negated: true)
            return text.run(rest, before: end, .lineBreak)
        }
        return lineBreaksEnd(text, index, end) ?? spacesEnd(text, index, end, width)
    }

    /// `\s*[\r\n]+`: up to the last line break of the run of spaces.
    private static func lineBreaksEnd(_ text: TextView, _ index: Int, _ end: Int) -> Int? {
        var (index, last): (Int, Int?) = (index, nil)
        while index < end {
            let (classes, width) = text.classes(index, before: end)
            guard classes.contains(.space) else { break }
            index += width
            if classes.contains(.lineBreak) { last = index }
        }
        return last
    }

    /// `\s+(?!\S)|\s+`: the run of spaces, less its last one where something follows.
    private static func spacesEnd(_ text: TextView, _ start: Int, _ end: Int, _ firstWidth: Int) -> Int {
        var (index, last) = (start, start)
        while index < end {
            let (classes, width) = text.classes(index, before: end)
            guard classes.contains(.space) else { break }
            (last, index) = (index, index + width)
        }
        return index == end || last == start ? index : last
    }

    private static func contractionEnd(_ text: TextView, _ index: Int, _ end: Int, ignoresCase: Bool) -> Int?
    {
        guard index + 1 < end else { return nil }
        func lower(_ at: Int) -> UInt8 {
            let byte = text.byte(at)
            return ignoresCase && (0x41...0x5A).contains(byte) ? byte | 0x20 : byte
        }
        switch lower(index + 1) {
        case UInt8(ascii: "s"), UInt8(ascii: "t"), UInt8(ascii: "m"), UInt8(ascii: "d"): return index + 2
        // The long s, U+017F, is an s without regard to case.
        case 0xC5 where ignoresCase && index + 2 < end && text.byte(index + 2) == 0xBF: return index + 3
        case UInt8(ascii: "r"), UInt8(ascii: "v"):
            return index + 2 < end && lower(index + 2) == UInt8(ascii: "e") ? index + 3 : nil
        case UInt8(ascii: "l"):
            return index + 2 < end && lower(index + 2) == UInt8(ascii: "l") ? index + 3 : nil
        default: return nil
        }
    }
}
