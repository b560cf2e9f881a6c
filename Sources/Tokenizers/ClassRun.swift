/// A pattern that is one class of characters, `[…]` or `[…]+`, perhaps after ` ?` or `\s?`, as the
/// pre-tokenizers of DeepSeek and BLOOM are made of.
struct ClassRun: Sendable {
    private enum Lead {
        case none, space, anySpace
    }

    private let lead: Lead
    private let set: ScalarSet
    private let repeats: Bool

    /// nil for any other pattern.
    init?(_ source: String) {
        var scalars = source.unicodeScalars[...]
        func skip(_ text: String) -> Bool {
            guard scalars.starts(with: text.unicodeScalars) else { return false }
            scalars.removeFirst(text.unicodeScalars.count)
            return true
        }
        lead = skip(#"\s?"#) ? .anySpace : skip(" ?") ? .space : .none
        guard scalars.first == "[", let set = ScalarSet(parsing: &scalars) else { return nil }
        self.set = set
        repeats = skip("+")
        guard scalars.isEmpty else { return nil }
    }

    func matches(in text: TextView, _ range: Range<Int>, _ found: (Range<Int>) -> Void) {
        var index = range.lowerBound
        while index < range.upperBound {
            let (value, width) = text.scalar(index, before: range.upperBound)
            var start = index
            if isLead(value, text) { start += width }
            // Without what follows it, the lead may itself be in the class.
            var end = run(start, text, range.upperBound)
            if end == start, start > index { end = run(index, text, range.upperBound) }
            if end > start || (end > index && start > index) {
                found(index..<end)
                index = end
            } else {
                index += width
            }
        }
    }

    @inline(__always) private func isLead(_ value: UInt32, _ text: TextView) -> Bool {
        switch lead {
        case .none: false
        case .space: value == 0x20
        case .anySpace: text.classes(of: value).contains(.space)
        }
    }

    @inline(__always) private func run(_ start: Int, _ text: TextView, _ end: Int) -> Int {
        var index = start
        while index < end {
            let (value, width) = text.scalar(index, before: end)
            guard set.contains(value, text) else { break }
            index += width
            if !repeats { break }
        }
        return index
    }
}

/// A class of characters of a regular expression.
struct ScalarSet: Sendable {
    private var ascii = [Bool](repeating: false, count: 128)
    private var ranges: [ClosedRange<UInt32>] = []
    private var classes: CharacterClass = []
    private var isNegated = false

    /// Reads a class from its opening bracket on; nil for what it does not know. Classes within a class are
    /// part of it, as Oniguruma has it.
    init?(parsing scalars: inout Substring.UnicodeScalarView, depth: Int = 0) {
        guard depth < 4, scalars.popFirst() == "[" else { return nil }
        if scalars.first == "^" {
            // What a negated class within a class means differs between dialects.
            guard depth == 0 else { return nil }
            scalars.removeFirst()
            isNegated = true
        }
        guard scalars.first != "]", parseItems(&scalars, depth) else { return nil }
        for value in 0..<UInt32(128) {
            ascii[Int(value)] =
                ranges.contains { $0.contains(value) }
                || Unicode.Scalar(value).map { !CharacterClass($0).isDisjoint(with: classes) } ?? false
        }
        ranges.sort { $0.lowerBound < $1.lowerBound }
        ranges = ranges.reduce(into: []) { merged, range in
            if let last = merged.last, range.lowerBound <= last.upperBound {
                merged[merged.count - 1] = last.lowerBound...max(last.upperBound, range.upperBound)
            } else {
                merged.append(range)
            }
        }
    }

    private mutating func parseItems(_ scalars: inout Substring.UnicodeScalarView, _ depth: Int) -> Bool {
        while let scalar = scalars.first {
            switch scalar {
            case "]":
                scalars.removeFirst()
                return true
            case "[":
                // A POSIX class, [:alpha:], is none of ours.
                if scalars.dropFirst().first == ":" { return false }
                guard let inner = ScalarSet(parsing: &scalars, depth: depth + 1) else { return false }
                ranges += inner.ranges
                classes.formUnion(inner.classes)
            case "&" where scalars.dropFirst().first == "&": return false
            default: guard parseRange(&scalars) else { return false }
            }
        }
        return false
    }

    private mutating func parseRange(_ scalars: inout Substring.UnicodeScalarView) -> Bool {
        guard let first = parseScalar(&scalars) else { return false }
        guard let low = first.scalar else {
            classes.formUnion(first.classes)
            return true
        }
        let rest = scalars.prefix(2)
        guard rest.first == "-", rest.count == 2, rest.last != "]" else {
            ranges.append(low...low)
            return true
        }
        scalars.removeFirst()
        guard let high = parseScalar(&scalars)?.scalar, low <= high else { return false }
        ranges.append(low...high)
        return true
    }

    private func parseScalar(_ scalars: inout Substring.UnicodeScalarView) -> (
        scalar: UInt32?, classes: CharacterClass
    )? {
        guard let scalar = scalars.popFirst() else { return nil }
        guard scalar == "\\" else { return (scalar.value, []) }
        switch scalars.popFirst() {
        case "r": return (13, [])
        case "n": return (10, [])
        case "t": return (9, [])
        case "s": return (nil, .space)
        case let escaped? where !CharacterClass(escaped).isDisjoint(with: .punctuation):
            return (escaped.value, [])
        case "p":
            for (name, classes) in [("{L}", .letter), ("{N}", .number), ("{M}", .mark)]
                as [(String, CharacterClass)]
            where scalars.starts(with: name.unicodeScalars) {
                scalars.removeFirst(3)
                return (nil, classes)
            }
            return nil
        default: return nil
        }
    }

    @inline(__always) func contains(_ value: UInt32, _ text: TextView) -> Bool {
        if value < 128 { return ascii[Int(value)] != isNegated }
        return holds(value, text) != isNegated
    }

    private func holds(_ value: UInt32, _ text: TextView) -> Bool {
        if !classes.isEmpty, !text.classes(of: value).isDisjoint(with: classes) { return true }
        var (low, high) = (0, ranges.count)
        while low < high {
            let middle = (low + high) / 2
            if ranges[middle].upperBound < value { low = middle + 1 } else { high = middle }
        }
        return low < ranges.count && ranges[low].contains(value)
    }
}
