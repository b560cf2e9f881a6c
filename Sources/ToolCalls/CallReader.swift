public import JSON
import OrderedCollections

/// Reads one call of a tool byte by byte, and tells its name and its arguments, as JSON, as they come.
protocol CallReader: Sendable {
    /// All bytes taken so far.
    var source: [UInt8] { get }
    var name: String? { get }
    /// Whether arguments have begun, so that it is a call and no other text.
    var hasArguments: Bool { get }
    /// Whether the call may be told of before it ends: it has a name, and an object of arguments has begun.
    var isTelling: Bool { get }

    mutating func consume(_ byte: UInt8) -> CallOutcome
    /// The arguments as far as they have come and can be told, beyond the first `count` bytes of them.
    func argumentBytes(after count: Int) -> ArraySlice<UInt8>
}

enum CallOutcome { case more, done, malformed }

/// JSON that is written piece by piece.
struct JSONText: Sendable {
    private(set) var bytes: [UInt8] = []

    mutating func append(_ text: String) { bytes.append(contentsOf: text.utf8) }

    mutating func append(raw: some Sequence<UInt8>) { bytes.append(contentsOf: raw) }

    /// A byte of a string, escaped where it must be.
    mutating func append(escaping byte: UInt8) {
        switch byte {
        case UInt8(ascii: "\""): append("\\\"")
        case UInt8(ascii: "\\"): append("\\\\")
        case 0x0A: append("\\n")
        case 0x0D: append("\\r")
        case 0x09: append("\\t")
        case 0..<0x20: append("\\u00" + (byte < 0x10 ? "0" : "") + String(byte, radix: 16))
        default: bytes.append(byte)
        }
    }

    mutating func append(string: some Sequence<UInt8>) {
        append("\"")
        for byte in string { append(escaping: byte) }
        append("\"")
    }
}

/// Which parameters of a tool are strings, whatever else their schema says. Where a call is not JSON, these are
/// written as they are, without quotes.
public struct ToolParameters: Sendable, Equatable {
    public let texts: Set<String>

    /// - Parameter schema: Of the object of arguments; only its own `properties` count.
    public init(_ schema: JSONValue?) {
        var texts: Set<String> = []
        for (name, property) in schema?["properties"]?.object ?? [:] where Self.isText(property) {
            texts.insert(name.string)
        }
        self.texts = texts
    }

    private static func isText(_ schema: JSONValue) -> Bool {
        switch schema["type"] {
        case .string(let type): return type == "string"
        case .array(let types): return types == ["string"]
        case nil:
            let values = schema["enum"]?.array ?? [schema["const"]].compactMap(\.self)
            return !values.isEmpty && values.allSatisfy { $0.string != nil }
        default: return false
        }
    }
}
