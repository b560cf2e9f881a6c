import JSON

/// Reads a call written as Python writes one with keywords and literals, `name(key='text', other=[1, None])`,
/// and tells its arguments as JSON as they come. Nothing is ever evaluated.
struct PythonCallReader: CallReader {
    private enum Bracket { case call, list, tuple, dictionary }
    private enum Expectation { case name, keyword, equals, value, key, colon, comma }

    private(set) var source: [UInt8] = []
    private(set) var name: String?
    private var expectation = Expectation.name
    /// The brackets that are open, and whether something stands in them.
    private var open: [(bracket: Bracket, hasItems: Bool)] = []
    /// A name or a literal as far as it has come.
    private var word: [UInt8] = []
    private var string: PythonString?
    private var arguments = JSONText()

    var hasArguments: Bool { !arguments.bytes.isEmpty }
    var isTelling: Bool { hasArguments }

    func argumentBytes(after count: Int) -> ArraySlice<UInt8> { arguments.bytes[count...] }

    mutating func consume(_ byte: UInt8) -> CallOutcome {
        source.append(byte)
        if string != nil { return continueString(byte) }
        if Self.isWord(byte) {
            guard expectation != .equals, expectation != .colon, expectation != .comma else {
                return .malformed
            }
            word.append(byte)
            return word.count <= 256 ? .more : .malformed
        }
        if !word.isEmpty, !endWord() { return .malformed }
        return AnswerSplitter.isSpace(byte) && expectation != .name ? .more : mark(byte)
    }

    private static func isWord(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x80...: true
        default: byte == UInt8(ascii: "_") || byte == UInt8(ascii: ".") || byte == 0x2B || byte == 0x2D
        }
    }

    private mutating func mark(_ byte: UInt8) -> CallOutcome {
        switch byte {
        case UInt8(ascii: "("):
            if expectation == .name, name != nil { return enter(.call) }
            return enter(.tuple)
        case UInt8(ascii: "["): return enter(.list)
        case UInt8(ascii: "{"): return enter(.dictionary)
        case UInt8(ascii: ")"), UInt8(ascii: "]"), UInt8(ascii: "}"): return leave(byte)
        case UInt8(ascii: "'"), UInt8(ascii: "\""):
            guard expectation == .value || expectation == .key else { return .malformed }
            beginItem()
            arguments.append("\"")
            string = PythonString(quote: byte)
        case UInt8(ascii: "="):
            guard expectation == .equals else { return .malformed }
            expectation = .value
        case UInt8(ascii: ":"):
            guard expectation == .colon else { return .malformed }
            arguments.append(": ")
            expectation = .value
        case UInt8(ascii: ","):
            guard expectation == .comma, let bracket = open.last?.bracket else { return .malformed }
            expectation = bracket == .call ? .keyword : bracket == .dictionary ? .key : .value
        default: return .malformed
        }
        return .more
    }

    /// What separates an item from the one before. Values of keywords and keys are no items of their own.
    private mutating func beginItem() {
        guard let (bracket, hasItems) = open.last else { return }
        let isItem =
            switch bracket {
            case .call: expectation == .keyword
            case .dictionary: expectation == .key
            case .list, .tuple: true
            }
        guard isItem else { return }
        if hasItems { arguments.append(", ") }
        open[open.count - 1].hasItems = true
    }

    private mutating func enter(_ bracket: Bracket) -> CallOutcome {
        guard bracket == .call || expectation == .value, open.count < 128 else { return .malformed }
        beginItem()
        switch bracket {
        case .call: expectation = .keyword
        case .list, .tuple:
            arguments.append("[")
            expectation = .value
        case .dictionary:
            arguments.append("{")
            expectation = .key
        }
        open.append((bracket, false))
        return .more
    }

    private mutating func leave(_ byte: UInt8) -> CallOutcome {
        guard let (bracket, hasItems) = open.popLast(), Self.closing(bracket) == byte else {
            return .malformed
        }
        let isAfterItem = expectation == .comma
        let isAtItem = expectation == .keyword || expectation == .key
        let isInList = bracket == .list || bracket == .tuple
        guard isAfterItem || isAtItem || isInList && expectation == .value else { return .malformed }
        expectation = .comma
        if bracket == .call {
            arguments.append(hasItems ? "}" : "{}")
            return .done
        }
        arguments.append(bracket == .dictionary ? "}" : "]")
        return .more
    }

    private static func closing(_ bracket: Bracket) -> UInt8 {
        switch bracket {
        case .call, .tuple: UInt8(ascii: ")")
        case .list: UInt8(ascii: "]")
        case .dictionary: UInt8(ascii: "}")
        }
    }

    /// A name, a keyword or a literal has ended; false when it is none.
    private mutating func endWord() -> Bool {
        let text = String(decoding: word, as: UTF8.self)
        word = []
        switch expectation {
        case .name:
            guard name == nil else { return false }
            name = text
        case .keyword:
            if !hasArguments { arguments.append("{") }
            beginItem()
            arguments.append(string: text.utf8)
            arguments.append(": ")
            expectation = .equals
        case .value:
            guard let literal = Self.literal(text) else { return false }
            beginItem()
            arguments.append(literal)
            expectation = .comma
        case .key, .equals, .colon, .comma: return false
        }
        return true
    }

    /// JSON of a constant or a number.
    private static func literal(_ text: String) -> String? {
        switch text {
        case "True", "true": return "true"
        case "False", "false": return "false"
        case "None", "null": return "null"
        default: break
        }
        let digits = text.filter { $0 != "_" }
        switch try? JSONValue(parsing: digits) {
        case .integer, .number: return digits
        default: break
        }
        guard digits.first.map({ "+-.0123456789".contains($0) }) == true, let number = Double(digits),
            number.isFinite
        else { return nil }
        return number.description
    }

    private mutating func continueString(_ byte: UInt8) -> CallOutcome {
        guard string?.consume(byte, into: &arguments) == true else { return .more }
        string = nil
        arguments.append("\"")
        expectation = expectation == .key ? .colon : .comma
        return .more
    }
}

/// Reads a Python string after its opening quote, and writes it as JSON does.
struct PythonString: Sendable {
    private enum Escape {
        case begun
        /// Hexadecimal digits still to come, and their value so far.
        case code(remaining: Int, UInt32)
    }

    private let quote: UInt8
    private var escape: Escape?
    /// The first half of a surrogate pair.
    private var high: UInt32?

    init(quote: UInt8) { self.quote = quote }

    /// True when the byte ends the string.
    mutating func consume(_ byte: UInt8, into json: inout JSONText) -> Bool {
        switch escape {
        case nil where byte == UInt8(ascii: "\\"):
            escape = .begun
            return false
        case nil:
            flush(into: &json)
            if byte == quote { return true }
            json.append(escaping: byte)
        case .begun: begin(byte, &json)
        case .code(let remaining, let value):
            guard let digit = Character(Unicode.Scalar(byte)).hexDigitValue else {
                // No escape after all: what follows it stands for itself.
                escape = nil
                json.append("\\ufffd")
                return consume(byte, into: &json)
            }
            let value = value << 4 | UInt32(digit)
            escape = remaining > 1 ? .code(remaining: remaining - 1, value) : nil
            if remaining == 1 { finish(value, &json) }
        }
        return false
    }

    private mutating func begin(_ byte: UInt8, _ json: inout JSONText) {
        escape = nil
        switch byte {
        case UInt8(ascii: "x"): escape = .code(remaining: 2, 0)
        case UInt8(ascii: "u"): escape = .code(remaining: 4, 0)
        case UInt8(ascii: "U"): escape = .code(remaining: 8, 0)
        default:
            flush(into: &json)
            switch byte {
            case UInt8(ascii: "n"): json.append("\\n")
            case UInt8(ascii: "r"): json.append("\\r")
            case UInt8(ascii: "t"): json.append("\\t")
            case UInt8(ascii: "b"): json.append("\\b")
            case UInt8(ascii: "f"): json.append("\\f")
            case UInt8(ascii: "a"): json.append("\\u0007")
            case UInt8(ascii: "v"): json.append("\\u000b")
            case UInt8(ascii: "0"): json.append("\\u0000")
            case 0x0A: break
            case UInt8(ascii: "'"), UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"):
                json.append(escaping: byte)
            default:
                json.append(escaping: UInt8(ascii: "\\"))
                json.append(escaping: byte)
            }
        }
    }

    private mutating func finish(_ value: UInt32, _ json: inout JSONText) {
        if let high, (0xDC00...0xDFFF).contains(value) {
            self.high = nil
            write(0x10000 + (high - 0xD800) << 10 + (value - 0xDC00), &json)
            return
        }
        flush(into: &json)
        if (0xD800...0xDBFF).contains(value) { high = value } else { write(value, &json) }
    }

    /// Half a pair is no character.
    private mutating func flush(into json: inout JSONText) {
        if high != nil { json.append("\\ufffd") }
        high = nil
    }

    private func write(_ value: UInt32, _ json: inout JSONText) {
        let scalar = Unicode.Scalar(value) ?? "\u{FFFD}"
        for byte in String(scalar).utf8 { json.append(escaping: byte) }
    }
}
