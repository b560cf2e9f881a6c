import OrderedCollections

/// Why a text is not a JSON document, and where.
public struct JSONError: Error, Sendable, Equatable, CustomStringConvertible {
    public let message: String
    /// Byte offset into the text.
    public let offset: Int

    public var description: String { "invalid JSON at byte \(offset): \(message)" }
}

extension JSONValue {
    /// Parses one document (RFC 8259). Arrays and objects nested deeper than `maximumDepth` are refused.
    public init(parsing bytes: UnsafeRawBufferPointer, maximumDepth: Int = 128) throws(JSONError) {
        // Unsafe: the parser reads the caller's bytes in place, every access behind `position < end`.
        var parser = JSONParser(
            bytes: bytes.bindMemory(to: UInt8.self), remainingDepth: max(maximumDepth, 0))
        self = try parser.document()
    }

    public init(parsing bytes: [UInt8], maximumDepth: Int = 128) throws(JSONError) {
        let result: Result<JSONValue, JSONError> = bytes.withUnsafeBytes { raw in
            do throws(JSONError) {
                return .success(try JSONValue(parsing: raw, maximumDepth: maximumDepth))
            } catch {
                return .failure(error)
            }
        }
        self = try result.get()
    }

    public init(parsing text: String, maximumDepth: Int = 128) throws(JSONError) {
        try self.init(parsing: Array(text.utf8), maximumDepth: maximumDepth)
    }
}

struct JSONParser {
    let bytes: UnsafeBufferPointer<UInt8>
    var remainingDepth: Int
    var position = 0

    init(bytes: UnsafeBufferPointer<UInt8>, remainingDepth: Int) {
        (self.bytes, self.remainingDepth) = (bytes, remainingDepth)
    }

    mutating func document() throws(JSONError) -> JSONValue {
        if bytes.count >= 3, bytes[0] == 0xEF, bytes[1] == 0xBB, bytes[2] == 0xBF { position = 3 }
        let value = try self.value()
        skipSpace()
        guard position == bytes.count else { throw failure("text after the document") }
        return value
    }

    func failure(_ message: String) -> JSONError { JSONError(message: message, offset: position) }

    var next: UInt8? { position < bytes.count ? bytes[position] : nil }

    mutating func skipSpace() {
        while let byte = next, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { position += 1 }
    }

    mutating func value() throws(JSONError) -> JSONValue {
        skipSpace()
        switch next {
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "{"): return try nested { (parser) throws(JSONError) in try parser.object() }
        case UInt8(ascii: "["): return try nested { (parser) throws(JSONError) in try parser.array() }
        case UInt8(ascii: "t"): return try literal("true", .bool(true))
        case UInt8(ascii: "f"): return try literal("false", .bool(false))
        case UInt8(ascii: "n"): return try literal("null", .null)
        case UInt8(ascii: "-"), .some(UInt8(ascii: "0")...UInt8(ascii: "9")): return try number()
        case nil: throw failure("expected a value, found the end")
        case .some(let byte): throw failure("expected a value, found \(describe(byte))")
        }
    }

    mutating func nested(
        _ body: (inout JSONParser) throws(JSONError) -> JSONValue
    ) throws(JSONError) -> JSONValue {
        guard remainingDepth > 0 else { throw failure("nested too deeply") }
        remainingDepth -= 1
        position += 1
        let value = try body(&self)
        remainingDepth += 1
        return value
    }

    mutating func object() throws(JSONError) -> JSONValue {
        var members: JSONValue.Members = [:]
        skipSpace()
        if next == UInt8(ascii: "}") {
            position += 1
            return .object(members)
        }
        while true {
            skipSpace()
            guard next == UInt8(ascii: "\"") else { throw failure("expected a member name") }
            let name = try string()
            skipSpace()
            guard next == UInt8(ascii: ":") else { throw failure("expected ':'") }
            position += 1
            members[JSONKey(name)] = try value()
            guard try another(before: UInt8(ascii: "}")) else { return .object(members) }
        }
    }

    mutating func array() throws(JSONError) -> JSONValue {
        var values: [JSONValue] = []
        skipSpace()
        if next == UInt8(ascii: "]") {
            position += 1
            return .array(values)
        }
        while true {
            values.append(try value())
            guard try another(before: UInt8(ascii: "]")) else { return .array(values) }
        }
    }

    /// Steps over a comma (true) or the closing bracket (false).
    mutating func another(before close: UInt8) throws(JSONError) -> Bool {
        skipSpace()
        guard let byte = next, byte == UInt8(ascii: ",") || byte == close else {
            throw failure("expected ',' or \(describe(close))")
        }
        position += 1
        return byte != close
    }

    mutating func literal(_ word: StaticString, _ value: JSONValue) throws(JSONError) -> JSONValue {
        let start = position
        // Unsafe: a static string's bytes are immortal, and the loop stays within its count.
        for i in 0..<word.utf8CodeUnitCount {
            guard next == word.utf8Start[i] else {
                position = start
                throw failure("expected \(word)")
            }
            position += 1
        }
        return value
    }

    mutating func digits() -> Int {
        let start = position
        while let byte = next, byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") { position += 1 }
        return position - start
    }

    mutating func number() throws(JSONError) -> JSONValue {
        let start = position
        if next == UInt8(ascii: "-") { position += 1 }
        let leadingZero = next == UInt8(ascii: "0")
        let whole = digits()
        guard whole > 0, !(leadingZero && whole > 1) else { throw failure("malformed number") }
        var isWhole = true
        if next == UInt8(ascii: ".") {
            isWhole = false
            position += 1
            guard digits() > 0 else { throw failure("malformed number") }
        }
        if next == UInt8(ascii: "e") || next == UInt8(ascii: "E") {
            isWhole = false
            position += 1
            if next == UInt8(ascii: "+") || next == UInt8(ascii: "-") { position += 1 }
            guard digits() > 0 else { throw failure("malformed number") }
        }
        let text = String(decoding: bytes[start..<position], as: UTF8.self)
        if isWhole, let exact = Int(text) { return .integer(exact) }
        guard let value = Double(text), value.isFinite else { throw failure("number out of range") }
        return .number(value)
    }

    func describe(_ byte: UInt8) -> String {
        byte >= 0x20 && byte < 0x7F ? "'\(Character(Unicode.Scalar(byte)))'" : "byte \(byte)"
    }
}
