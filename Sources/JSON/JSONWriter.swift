/// What stands between the parts of a document's text.
public enum JSONStyle: Sendable {
    /// No spaces.
    case compact
    /// A space after commas and colons, as Python's json writes.
    case spaced

    fileprivate var comma: String.UTF8View { self == .compact ? ",".utf8 : ", ".utf8 }
    fileprivate var colon: String.UTF8View { self == .compact ? ":".utf8 : ": ".utf8 }
}

extension JSONValue {
    /// The document as compact text: no spaces, non-ASCII kept, `/` not escaped. A number that JSON cannot
    /// say (infinite or not a number) is written as null.
    public var serialized: String {
        var bytes: [UInt8] = []
        write(to: &bytes)
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Appends the document's UTF-8 to `bytes`.
    public func write(to bytes: inout [UInt8], _ style: JSONStyle = .compact) {
        switch self {
        case .null: bytes.append(contentsOf: "null".utf8)
        case .bool(let value): bytes.append(contentsOf: (value ? "true" : "false").utf8)
        case .integer(let value): bytes.append(contentsOf: String(value).utf8)
        case .number(let value):
            bytes.append(contentsOf: (value.isFinite ? value.description : "null").utf8)
        case .string(let value): Self.write(value, to: &bytes)
        case .array(let values):
            bytes.append(UInt8(ascii: "["))
            for (index, value) in values.enumerated() {
                if index > 0 { bytes.append(contentsOf: style.comma) }
                value.write(to: &bytes, style)
            }
            bytes.append(UInt8(ascii: "]"))
        case .object(let members):
            bytes.append(UInt8(ascii: "{"))
            for (index, member) in members.enumerated() {
                if index > 0 { bytes.append(contentsOf: style.comma) }
                Self.write(member.key.string, to: &bytes)
                bytes.append(contentsOf: style.colon)
                member.value.write(to: &bytes, style)
            }
            bytes.append(UInt8(ascii: "}"))
        }
    }

    private static func write(_ text: String, to bytes: inout [UInt8]) {
        bytes.append(UInt8(ascii: "\""))
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\""): bytes.append(contentsOf: #"\""#.utf8)
            case UInt8(ascii: "\\"): bytes.append(contentsOf: #"\\"#.utf8)
            case 0x0A: bytes.append(contentsOf: #"\n"#.utf8)
            case 0x0D: bytes.append(contentsOf: #"\r"#.utf8)
            case 0x09: bytes.append(contentsOf: #"\t"#.utf8)
            case 0..<0x20:
                let hex = String(byte, radix: 16)
                bytes.append(contentsOf: (#"\u00"# + (hex.count == 1 ? "0" : "") + hex).utf8)
            default: bytes.append(byte)
            }
        }
        bytes.append(UInt8(ascii: "\""))
    }
}
