import JSON
import OrderedCollections

/// The kinds of values that a schema's `type` names.
struct SchemaTypes: OptionSet, Hashable, Sendable {
    let rawValue: UInt8

    static let null = SchemaTypes(rawValue: 1)
    static let boolean = SchemaTypes(rawValue: 2)
    static let string = SchemaTypes(rawValue: 4)
    static let array = SchemaTypes(rawValue: 8)
    static let object = SchemaTypes(rawValue: 16)
    static let integer = SchemaTypes(rawValue: 32)
    /// Numbers that are no integers.
    static let fraction = SchemaTypes(rawValue: 64)

    static let number: SchemaTypes = [.integer, .fraction]
    static let all: SchemaTypes = [.null, .boolean, .string, .array, .object, .number]

    init(rawValue: UInt8) { self.rawValue = rawValue }

    init?(name: String) {
        switch name {
        case "null": self = .null
        case "boolean": self = .boolean
        case "string": self = .string
        case "array": self = .array
        case "object": self = .object
        case "integer": self = .integer
        case "number": self = .number
        default: return nil
        }
    }

    /// Of a value. 1.0 is an integer.
    init(of value: JSONValue) {
        switch value {
        case .null: self = .null
        case .bool: self = .boolean
        case .string: self = .string
        case .array: self = .array
        case .object: self = .object
        case .integer: self = .integer
        case .number(let number): self = number.rounded() == number ? .integer : .fraction
        }
    }
}

/// One subschema, its keywords checked. Other subschemas are named by their index in the document.
struct SchemaNode: Sendable {
    typealias Index = Int

    struct Bound: Sendable {
        let value: Decimal
        let isExclusive: Bool
    }

    /// Where in the document, as a JSON pointer.
    let place: String
    /// `true` and `false` as schemas; nil for one of keywords.
    var constant: Bool?

    var types = SchemaTypes.all
    /// `enum`, or `const` as the only one.
    var allowed: [JSONValue]?
    var constants: [JSONValue]?
    var reference: Index?

    var all: [Index] = []
    var any: [Index]?
    var one: [Index]?
    var not: Index?
    var condition: Index?
    var consequence: Index?
    var alternative: Index?

    var minimum: [Bound] = []
    var maximum: [Bound] = []
    var multipleOf: Decimal?

    var minLength = 0
    var maxLength: Int?
    var pattern: String?
    var format: String?

    var properties: OrderedDictionary<JSONKey, Index> = [:]
    var patternProperties: OrderedDictionary<JSONKey, Index> = [:]
    var additionalProperties: Index?
    var unevaluatedProperties: Index?
    var propertyNames: Index?
    var required: [JSONKey] = []
    var minProperties = 0
    var maxProperties: Int?
    var dependentRequired: OrderedDictionary<JSONKey, [JSONKey]> = [:]
    var dependentSchemas: OrderedDictionary<JSONKey, Index> = [:]

    var prefixItems: [Index] = []
    var items: Index?
    var unevaluatedItems: Index?
    var contains: Index?
    var minContains: Int?
    var maxContains: Int?
    var minItems = 0
    var maxItems: Int?
    var uniqueItems = false

    init(place: String) { self.place = place }

    /// Subschemas that look at the same value.
    var inPlace: [Index] {
        [reference, not, condition, consequence, alternative].compactMap(\.self) + all + (any ?? [])
            + (one ?? []) + dependentSchemas.values
    }
}
