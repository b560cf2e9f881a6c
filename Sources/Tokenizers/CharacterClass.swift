/// What tokenizers' patterns tell characters apart by, one bit each.
struct CharacterClass: OptionSet, Sendable {
    let rawValue: UInt8

    static let letter = CharacterClass(rawValue: 1)
    static let number = CharacterClass(rawValue: 2)
    /// Unicode's White_Space.
    static let space = CharacterClass(rawValue: 4)
    /// CR or LF.
    static let lineBreak = CharacterClass(rawValue: 8)
    static let mark = CharacterClass(rawValue: 16)
    /// Category P; as tokenizers count it, all of ASCII's symbols too.
    static let punctuation = CharacterClass(rawValue: 32)
    /// Cc, Cf, Co.
    static let control = CharacterClass(rawValue: 64)
    static let uppercase = CharacterClass(rawValue: 128)

    init(rawValue: UInt8) { self.rawValue = rawValue }

    init(_ scalar: Unicode.Scalar) {
        var classes: CharacterClass = []
        switch scalar.properties.generalCategory {
        case .uppercaseLetter: classes = [.letter, .uppercase]
        case .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: classes = .letter
        case .decimalNumber, .letterNumber, .otherNumber: classes = .number
        case .nonspacingMark, .spacingMark, .enclosingMark: classes = .mark
        case .connectorPunctuation, .dashPunctuation, .openPunctuation, .closePunctuation,
            .initialPunctuation,
            .finalPunctuation, .otherPunctuation:
            classes = .punctuation
        case .control, .format, .privateUse: classes = .control
        default: break
        }
        if scalar.properties.isWhitespace { classes.insert(.space) }
        if scalar.value == 10 || scalar.value == 13 { classes.insert(.lineBreak) }
        if scalar.value < 128, 33...126 ~= scalar.value, classes.isDisjoint(with: [.letter, .number]) {
            classes.insert(.punctuation)
        }
        self = classes
    }

    /// The classes of the Basic Multilingual Plane's characters; the others are looked up each time.
    static let basicPlane: [CharacterClass] = (0..<0x10000).map { value in
        Unicode.Scalar(UInt32(value)).map { CharacterClass($0) } ?? []
    }
}

/// A text as UTF-8, read character by character.
///
/// Unsafe: the innermost loops of tokenizing read nothing else, and checks of bounds would cost them a third
/// of their time; every index here lies between `0` and `count`, which the loops compare before they read.
struct TextView {
    let bytes: UnsafeBufferPointer<UInt8>
    private let classes: UnsafeBufferPointer<CharacterClass>

    /// Calls `body` with a view of `bytes`, which must be valid UTF-8.
    static func with<R>(_ bytes: [UInt8], _ body: (TextView) -> R) -> R {
        bytes.withUnsafeBufferPointer { bytes in
            CharacterClass.basicPlane.withUnsafeBufferPointer { body(TextView(bytes: bytes, classes: $0)) }
        }
    }

    private init(bytes: UnsafeBufferPointer<UInt8>, classes: UnsafeBufferPointer<CharacterClass>) {
        (self.bytes, self.classes) = (bytes, classes)
    }

    @inline(__always) func byte(_ index: Int) -> UInt8 { bytes[index] }

    /// The character at `index` and its length; cut short, it counts as one byte.
    @inline(__always) func scalar(_ index: Int, before end: Int) -> (value: UInt32, width: Int) {
        let lead = bytes[index]
        if lead < 0x80 { return (UInt32(lead), 1) }
        return longScalar(index, before: end)
    }

    private func longScalar(_ index: Int, before end: Int) -> (value: UInt32, width: Int) {
        let width = utf8Width(bytes[index])
        guard width > 1, index + width <= end else { return (UInt32(bytes[index]), 1) }
        var value = UInt32(bytes[index]) & (0x7F >> UInt32(width))
        for offset in 1..<width { value = value << 6 | UInt32(bytes[index + offset] & 0x3F) }
        return (value, width)
    }

    @inline(__always) func classes(of value: UInt32) -> CharacterClass {
        if value < 0x10000 { return classes[Int(value)] }
        return Unicode.Scalar(value).map { CharacterClass($0) } ?? []
    }

    /// The classes of the character at `index`, and its length.
    @inline(__always) func classes(_ index: Int, before end: Int) -> (classes: CharacterClass, width: Int) {
        let (value, width) = scalar(index, before: end)
        return (classes(of: value), width)
    }

    /// Where the run of characters that have one of `classes` (or, `negated`, none) ends.
    @inline(__always) func run(
        _ index: Int, before end: Int, _ wanted: CharacterClass, negated: Bool = false,
        atMost limit: Int = .max
    ) -> Int {
        var (index, count) = (index, 0)
        while index < end, count < limit {
            let (found, width) = classes(index, before: end)
            guard found.isDisjoint(with: wanted) == negated else { break }
            index += width
            count += 1
        }
        return index
    }
}

/// Bytes of the UTF-8 sequence that begins with `lead`.
@inline(__always) func utf8Width(_ lead: UInt8) -> Int {
    switch lead {
    case 0xC0..<0xE0: 2
    case 0xE0..<0xF0: 3
    case 0xF0...: 4
    default: 1
    }
}
