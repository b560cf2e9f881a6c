/// Reads the characters, escapes and classes that regular expressions and grammars share.
struct PatternReader {
    let scalars: [Unicode.Scalar]
    /// What an error names: "pattern at #/…", "regex", "grammar".
    let place: String
    var position = 0

    init(_ text: String, place: String) { (scalars, self.place) = (Array(text.unicodeScalars), place) }

    var next: Unicode.Scalar? { position < scalars.count ? scalars[position] : nil }

    func peek(_ offset: Int) -> Unicode.Scalar? {
        position + offset < scalars.count ? scalars[position + offset] : nil
    }

    /// Steps over `text` if it is next.
    mutating func take(_ text: String) -> Bool {
        let expected = text.unicodeScalars
        guard scalars.count - position >= expected.count,
            scalars[position..<position + expected.count].elementsEqual(expected)
        else { return false }
        position += expected.count
        return true
    }

    func failure(
        _ expected: String, found: String? = nil, code: StructuredOutputError.Code = .invalid
    ) -> StructuredOutputError {
        let here = next.map { "\"\($0)\"" } ?? "the end"
        return StructuredOutputError(
            code, at: "\(place), offset \(position)", expected: expected, found: found ?? here)
    }

    /// A decimal number; more digits than any limit needs are refused.
    mutating func number() throws(StructuredOutputError) -> Int? {
        let start = position
        while let digit = next, ("0"..."9").contains(digit) { position += 1 }
        guard position > start else { return nil }
        let text = String(String.UnicodeScalarView(scalars[start..<position]))
        guard text.count <= 9, let value = Int(text) else {
            throw failure("a count below 10^9", found: text, code: .tooComplex)
        }
        return value
    }

    private mutating func hexadecimal(digits: ClosedRange<Int>) throws(StructuredOutputError) -> UInt32 {
        var (value, count): (UInt32, Int) = (0, 0)
        while count < digits.upperBound, let digit = next, digit.isASCII, digit.properties.isASCIIHexDigit,
            let number = Character(digit).hexDigitValue
        {
            value = value << 4 | UInt32(number)
            position += 1
            count += 1
        }
        guard count >= digits.lowerBound else { throw failure("\(digits.lowerBound) hexadecimal digits") }
        return value
    }
}

extension PatternReader {
    enum Escape {
        case scalar(Unicode.Scalar)
        case set(ScalarSet)
        case start
        case end
    }

    /// What follows a backslash, which has been read.
    mutating func escape(inClass: Bool) throws(StructuredOutputError) -> Escape {
        guard let letter = next else { throw failure("a character after \"\\\"") }
        position += 1
        switch letter {
        case "d": return .set(.digits)
        case "D": return .set(ScalarSet.digits.inverted)
        case "w": return .set(.word)
        case "W": return .set(ScalarSet.word.inverted)
        case "s": return .set(.space)
        case "S": return .set(ScalarSet.space.inverted)
        case "t": return .scalar("\t")
        case "n": return .scalar("\n")
        case "r": return .scalar("\r")
        case "f": return .scalar("\u{0C}")
        case "v": return .scalar("\u{0B}")
        case "b" where inClass: return .scalar("\u{08}")
        case "A" where !inClass: return .start
        case "z" where !inClass, "Z" where !inClass: return .end
        case "p": return .set(try property())
        case "P": return .set(try property().inverted)
        case "x": return .scalar(try scalar(try hexadecimal(digits: 2...2)))
        case "u": return .scalar(try unicodeEscape())
        case "U": return .scalar(try scalar(try hexadecimal(digits: 8...8)))
        case "c": return .scalar(try controlLetter())
        case "0": return .scalar("\0")
        default:
            position -= 1
            switch letter {
            case "1"..."9", "k":
                throw failure("no back-reference", found: "\\\(letter)", code: .unsupported)
            case "b", "B", "G":
                throw failure("no word boundary", found: "\\\(letter)", code: .unsupported)
            case "a"..."z", "A"..."Z": throw failure("a known escape", found: "\\\(letter)")
            default:
                position += 1
                return .scalar(letter)
            }
        }
    }

    private func scalar(_ value: UInt32) throws(StructuredOutputError) -> Unicode.Scalar {
        guard let scalar = Unicode.Scalar(value) else {
            throw failure("a Unicode scalar", found: String(value, radix: 16))
        }
        return scalar
    }

    /// `\uXXXX`, a surrogate pair of them, or `\u{X…}`.
    private mutating func unicodeEscape() throws(StructuredOutputError) -> Unicode.Scalar {
        if take("{") {
            let value = try hexadecimal(digits: 1...6)
            guard take("}") else { throw failure("\"}\"") }
            return try scalar(value)
        }
        let unit = try hexadecimal(digits: 4...4)
        guard (0xD800...0xDBFF).contains(unit), take("\\u") else { return try scalar(unit) }
        let low = try hexadecimal(digits: 4...4)
        guard (0xDC00...0xDFFF).contains(low) else { throw failure("the second half of a surrogate pair") }
        return try scalar(0x10000 + (unit - 0xD800) << 10 + (low - 0xDC00))
    }

    private mutating func controlLetter() throws(StructuredOutputError) -> Unicode.Scalar {
        guard let letter = next, letter.isASCII, letter.properties.isAlphabetic else {
            throw failure("a letter after \"\\c\"")
        }
        position += 1
        return try scalar(letter.value & 31)
    }

    /// `{L}`, `{Letter}`, `{gc=Lu}` or a single letter.
    private mutating func property() throws(StructuredOutputError) -> ScalarSet {
        var name = ""
        if take("{") {
            while let letter = next, letter != "}" {
                name.unicodeScalars.append(letter)
                position += 1
            }
            guard take("}") else { throw failure("\"}\"") }
        } else if let letter = next {
            name.unicodeScalars.append(letter)
            position += 1
        }
        for prefix in ["General_Category=", "gc="] where name.hasPrefix(prefix) {
            name.removeFirst(prefix.count)
        }
        guard let set = ScalarSet.category(Self.longNames[name] ?? name) else {
            throw failure("a general category such as L or Nd", found: name, code: .unsupported)
        }
        return set
    }

    private static let longNames = [
        "Letter": "L", "Lowercase_Letter": "Ll", "Uppercase_Letter": "Lu", "Mark": "M", "Number": "N",
        "Decimal_Number": "Nd", "digit": "Nd", "Punctuation": "P", "punct": "P", "Symbol": "S",
        "Separator": "Z", "Space_Separator": "Zs", "Other": "C", "Control": "Cc", "cntrl": "Cc",
    ]

    /// A class whose `[` has been read, up to its `]`.
    mutating func characterClass() throws(StructuredOutputError) -> ScalarSet {
        let isInverted = take("^")
        var ranges: [ClosedRange<UInt32>] = []
        while !take("]") {
            guard let first = try classMember() else { throw failure("\"]\"") }
            guard next == "-", peek(1) != "]", peek(1) != nil else {
                ranges += first.ranges
                continue
            }
            position += 1
            guard let last = try classMember() else { throw failure("\"]\"") }
            guard let low = first.single, let high = last.single else {
                // As in browsers: a hyphen beside a class such as \w stands for itself.
                ranges += first.ranges + last.ranges + ScalarSet("-").ranges
                continue
            }
            guard low <= high else { throw failure("a range in order", found: "\(low) to \(high)") }
            ranges.append(low...high)
        }
        let set = ScalarSet(ranges)
        return isInverted ? set.inverted : set
    }

    private mutating func classMember() throws(StructuredOutputError) -> ScalarSet? {
        guard let scalar = next else { return nil }
        position += 1
        guard scalar == "\\" else { return ScalarSet(scalar) }
        switch try escape(inClass: true) {
        case .scalar(let scalar): return ScalarSet(scalar)
        case .set(let set): return set
        case .start, .end: throw failure("a character")
        }
    }
}

extension ScalarSet {
    /// Its only member.
    fileprivate var single: UInt32? {
        ranges.count == 1 && ranges[0].count == 1 ? ranges[0].lowerBound : nil
    }
}
