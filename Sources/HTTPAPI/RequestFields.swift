import JSON
import OrderedCollections

/// The members of a request's object, read by name and type. Null counts as absent. Remembers the names that
/// were asked for, so that the rest can be reported.
struct RequestFields {
    private let members: JSONValue.Members
    private let path: String
    private(set) var known: Set<String> = []

    init(_ value: JSONValue, path: String = "") throws(APIError) {
        guard let members = value.object else {
            throw .invalid("\(path.isEmpty ? "the body" : path) must be an object, found \(value.kind)")
        }
        (self.members, self.path) = (members, path)
    }

    /// Fields that nothing asked for.
    var ignored: [String] { members.keys.map(\.string).filter { !known.contains($0) } }

    func name(_ field: String) -> String { path.isEmpty ? field : path + "." + field }

    mutating func value(_ field: String) -> JSONValue? {
        known.insert(field)
        guard let value = members[JSONKey(field)], !value.isNull else { return nil }
        return value
    }

    func wrong(_ field: String, _ expected: String, _ found: JSONValue) -> APIError {
        .invalid("\(name(field)) must be \(expected), found \(found.kind)", parameter: field)
    }

    mutating func string(_ field: String) throws(APIError) -> String? {
        guard let value = value(field) else { return nil }
        guard let text = value.string else { throw wrong(field, "a string", value) }
        return text
    }

    mutating func bool(_ field: String) throws(APIError) -> Bool? {
        guard let value = value(field) else { return nil }
        guard let flag = value.bool else { throw wrong(field, "true or false", value) }
        return flag
    }

    mutating func int(_ field: String) throws(APIError) -> Int? {
        guard let value = value(field) else { return nil }
        guard let number = value.int else { throw wrong(field, "an integer", value) }
        return number
    }

    mutating func int(_ field: String, in range: ClosedRange<Int>) throws(APIError) -> Int? {
        guard let number = try int(field) else { return nil }
        guard range.contains(number) else {
            let expected =
                range.upperBound == .max
                ? "at least \(range.lowerBound)" : "between \(range.lowerBound) and \(range.upperBound)"
            throw .invalid("\(name(field)) must be \(expected), found \(number)", parameter: field)
        }
        return number
    }

    mutating func float(_ field: String) throws(APIError) -> Float? {
        guard let value = value(field) else { return nil }
        guard let number = value.double else { throw wrong(field, "a number", value) }
        let result = Float(number)
        guard result.isFinite, result.isNormal || number == 0 else {
            throw .invalid(
                "\(name(field)) must be 0 or a number between 1e-37 and 1e38 in magnitude, found \(number)",
                parameter: field)
        }
        return result
    }

    mutating func float(_ field: String, in range: ClosedRange<Float>) throws(APIError) -> Float? {
        guard let number = try float(field) else { return nil }
        guard range.contains(number) else {
            throw .invalid(
                "\(name(field)) must be between \(range.lowerBound) and \(range.upperBound), found \(number)",
                parameter: field)
        }
        return number
    }

    /// One string or several.
    mutating func strings(_ field: String) throws(APIError) -> [String]? {
        guard let value = value(field) else { return nil }
        if let text = value.string { return [text] }
        guard let items = value.array, let texts = items.allStrings else {
            throw wrong(field, "a string or a list of strings", value)
        }
        return texts
    }

    /// Refuses a field that is understood but cannot be honoured, unless it says what holds anyway.
    mutating func refuse(_ field: String, unless allowed: (JSONValue) -> Bool = { _ in false })
        throws(APIError)
    {
        guard let value = value(field), !allowed(value) else { return }
        throw .invalid("\(name(field)) is not supported", parameter: field)
    }
}

extension [JSONValue] {
    /// The strings, if all are.
    var allStrings: [String]? {
        let texts = compactMap(\.string)
        return texts.count == count ? texts : nil
    }

    /// The token ids, if all are.
    var allTokens: [Int32]? {
        let tokens = compactMap { $0.int.flatMap { Int32(exactly: $0) } }
        return tokens.count == count ? tokens : nil
    }
}

extension JSONValue {
    /// Whether this asks for nothing: false, zero, empty.
    var isNothing: Bool {
        switch self {
        case .null, .bool(false), .integer(0): true
        case .string(let text): text.isEmpty
        case .array(let items): items.isEmpty
        case .object(let members): members.isEmpty
        default: false
        }
    }
}
