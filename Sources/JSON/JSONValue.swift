public import OrderedCollections

/// A JSON document as a value; objects keep the order of the text.
///
/// Integers that fit are kept exactly; any other number is a double.
public enum JSONValue: Sendable, Equatable {
    case null
    case bool(Bool)
    case integer(Int)
    case number(Double)
    case string(String)
    case array([JSONValue])
    case object(Members)
}

extension JSONValue {
    public var string: String? { if case .string(let value) = self { value } else { nil } }

    public var bool: Bool? { if case .bool(let value) = self { value } else { nil } }

    /// The value as an integer; a double counts when it is whole and fits.
    public var int: Int? {
        switch self {
        case .integer(let value): value
        case .number(let value): Int(exactly: value)
        default: nil
        }
    }

    public var double: Double? {
        switch self {
        case .integer(let value): Double(value)
        case .number(let value): value
        default: nil
        }
    }

    public var array: [JSONValue]? { if case .array(let values) = self { values } else { nil } }

    public var object: Members? {
        if case .object(let members) = self { members } else { nil }
    }

    public var isNull: Bool { self == .null }

    /// The member of that name; nil when absent or when this is no object.
    public subscript(key: String) -> JSONValue? {
        if case .object(let members) = self { members[JSONKey(key)] } else { nil }
    }

    /// What kind of value this is, as a JSON schema would say it.
    public var kind: String {
        switch self {
        case .null: "null"
        case .bool: "boolean"
        case .integer: "integer"
        case .number: "number"
        case .string: "string"
        case .array: "array"
        case .object: "object"
        }
    }
}

extension JSONValue: ExpressibleByNilLiteral, ExpressibleByBooleanLiteral, ExpressibleByIntegerLiteral,
    ExpressibleByFloatLiteral, ExpressibleByStringLiteral, ExpressibleByArrayLiteral,
    ExpressibleByDictionaryLiteral
{
    public init(nilLiteral: ()) { self = .null }
    public init(booleanLiteral value: Bool) { self = .bool(value) }
    public init(integerLiteral value: Int) { self = .integer(value) }
    public init(floatLiteral value: Double) { self = .number(value) }
    public init(stringLiteral value: String) { self = .string(value) }
    public init(arrayLiteral elements: JSONValue...) { self = .array(elements) }
    public init(dictionaryLiteral elements: (JSONKey, JSONValue)...) {
        self = .object(OrderedDictionary(elements, uniquingKeysWith: { $1 }))
    }
}

extension JSONValue {
    /// The number in as few digits as tell it from its neighbours; null when it is none.
    public init(_ value: Float) {
        self = value.isFinite ? Double(value.description).map { .number($0) } ?? .null : .null
    }

    /// The members of an object, in the order of the text.
    public typealias Members = OrderedDictionary<JSONKey, JSONValue>
}
