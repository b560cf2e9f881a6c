import JSON

/// Reads one call's JSON object byte by byte, however deep, and tells its name and arguments as they come.
struct CallScanner: CallReader {
    private enum Place { case key, colon, value, comma }

    private(set) var source: [UInt8] = []
    private(set) var name: String?
    private var arguments: Range<Int>?
    /// Arguments end here once they have; they may be a string that holds the object.
    private var argumentsEnd: Int?
    private var open: [UInt8] = []
    private var isInString = false
    private var isEscaped = false
    private var place = Place.key
    /// How many of the open brackets are those whose members are a call's: the object's own, and that of a
    /// member "function".
    private var level = 1
    private var key: [UInt8] = []
    private var tokenStart: Int?
    /// Whether the object is the arguments alone, of a call named before.
    private let isArguments: Bool

    init() { isArguments = false }

    init(argumentsOf name: String) {
        isArguments = true
        self.name = name
        arguments = 0..<0
    }

    mutating func consume(_ byte: UInt8) -> CallOutcome {
        source.append(byte)
        if isInString { return continueString(byte) }
        switch byte {
        case 0x20, 0x09, 0x0A, 0x0D: return endScalar(before: byte)
        case UInt8(ascii: "\""):
            isInString = true
            begin()
        case UInt8(ascii: "{"), UInt8(ascii: "["):
            begin()
            open.append(byte)
            enter(byte)
        case UInt8(ascii: "}"), UInt8(ascii: "]"): return close(byte)
        case UInt8(ascii: ","):
            _ = endScalar(before: byte)
            if open.count == level { place = .key }
        case UInt8(ascii: ":"): if open.count == level, place == .colon { place = .value }
        default:
            guard !open.isEmpty else { return .malformed }
            begin()
        }
        return .more
    }

    /// Whether members read now are a call's.
    private var isAtMembers: Bool { !isArguments && open.count == level }

    /// A value or key begins with the byte that was appended last.
    private mutating func begin() {
        guard isAtMembers, tokenStart == nil, place == .key || place == .value else { return }
        tokenStart = source.count - 1
        if place == .value, isArgumentsKey, arguments == nil {
            arguments = source.count - 1..<source.count - 1
        }
    }

    private mutating func enter(_ byte: UInt8) {
        guard !isArguments, open.count == level + 1, byte == UInt8(ascii: "{"), place == .value,
            key.elementsEqual("function".utf8)
        else { return }
        level += 1
        (place, tokenStart) = (.key, nil)
    }

    private mutating func close(_ byte: UInt8) -> CallOutcome {
        _ = endScalar(before: byte)
        guard let bracket = open.popLast(), bracket == byte - 2 else { return .malformed }
        if open.count + 1 == level, level > 1 {
            level -= 1
            place = .comma
        } else if isAtMembers, tokenStart != nil {
            endValue(at: source.count)
        }
        guard open.isEmpty else { return .more }
        if isArguments { argumentsEnd = source.count }
        return .done
    }

    private mutating func continueString(_ byte: UInt8) -> CallOutcome {
        if isEscaped {
            isEscaped = false
        } else if byte == UInt8(ascii: "\\") {
            isEscaped = true
        } else if byte == UInt8(ascii: "\"") {
            isInString = false
            endString()
        }
        return .more
    }

    private mutating func endString() {
        guard isAtMembers, let start = tokenStart else { return }
        if place == .key {
            key = Array((text(start..<source.count) ?? "").utf8)
            (place, tokenStart) = (.colon, nil)
        } else if place == .value {
            if key.elementsEqual("name".utf8) || key.elementsEqual("tool_name".utf8), name == nil {
                name = text(start..<source.count)
            }
            endValue(at: source.count)
        }
    }

    /// Numbers, `true`, `false` and `null` end before what follows them.
    private mutating func endScalar(before byte: UInt8) -> CallOutcome {
        if isAtMembers, place == .value, tokenStart != nil { endValue(at: source.count - 1) }
        return .more
    }

    private mutating func endValue(at end: Int) {
        if isArgumentsKey, argumentsEnd == nil { argumentsEnd = end }
        (place, tokenStart) = (.comma, nil)
    }

    private var isArgumentsKey: Bool {
        key.elementsEqual("arguments".utf8) || key.elementsEqual("parameters".utf8)
    }

    /// The string that a JSON string spells.
    private func text(_ range: Range<Int>) -> String? {
        (try? JSONValue(parsing: Array(source[range])))?.string
    }

    /// The arguments as far as they have come and can be told, beyond the first `count` bytes of them.
    func argumentBytes(after count: Int) -> ArraySlice<UInt8> {
        guard let start = arguments?.lowerBound, start < source.count else { return [] }
        let end = argumentsEnd ?? source.count
        if source[start] == UInt8(ascii: "{") { return source[start + count..<end] }
        guard argumentsEnd != nil else { return [] }
        let whole = text(start..<end).map { Array($0.utf8) } ?? Array(source[start..<end])
        return whole.elementsEqual("null".utf8) ? Array("{}".utf8)[count...] : whole[count...]
    }

    var hasArguments: Bool { arguments != nil }

    var isTelling: Bool {
        guard name != nil, let start = arguments?.lowerBound, start < source.count else { return false }
        return source[start] == UInt8(ascii: "{")
    }
}
