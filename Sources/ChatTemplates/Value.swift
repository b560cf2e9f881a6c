import JSON
import OrderedCollections

/// A value while a template is rendered. Lists and dictionaries never change once made.
enum Value: Sendable {
    typealias Members = OrderedDictionary<JSONKey, Value>

    /// Something that is not there, with the message that using it gives.
    case undefined(String)
    case none
    case bool(Bool)
    case integer(Int)
    case float(Double)
    case string(String)
    case list([Value])
    case dictionary(Members)
    case namespace(Namespace)
    case macro(BoundMacro)
    /// A function of the language by name.
    case function(String)
    /// A method, such as `split`, of a value.
    indirect case method(Value, String)
}

/// What `namespace()` makes: the one thing that assignments change across scopes. Used by one rendering.
final class Namespace: @unchecked Sendable {
    // Unsafe: made, read and written by the rendering that owns it, on one thread.
    var members: Value.Members
    init(_ members: Value.Members) { self.members = members }
}

/// A macro and the scope it was defined in.
final class BoundMacro: Sendable {
    let macro: Statement.Macro
    let scope: Scope
    init(_ macro: Statement.Macro, _ scope: Scope) { (self.macro, self.scope) = (macro, scope) }
}

/// Variables of a block, and those around it. Used by one rendering.
final class Scope: @unchecked Sendable {
    // Unsafe: made, read and written by the rendering that owns it, on one thread.
    private var variables: [String: Value] = [:]
    private let parent: Scope?

    init(parent: Scope?) { self.parent = parent }

    subscript(name: String) -> Value? {
        get {
            var scope: Scope? = self
            while let current = scope {
                if let value = current.variables[name] { return value }
                scope = current.parent
            }
            return nil
        }
        set { variables[name] = newValue }
    }

    /// Breaks the cycle of macros and the scope they live in.
    func clear() { variables = [:] }
}

extension Value {
    init(_ json: JSONValue) {
        switch json {
        case .null: self = .none
        case .bool(let value): self = .bool(value)
        case .integer(let value): self = .integer(value)
        case .number(let value): self = .float(value)
        case .string(let value): self = .string(value)
        case .array(let values): self = .list(values.map { Value($0) })
        case .object(let members): self = .dictionary(members.mapValues { Value($0) })
        }
    }

    var isTrue: Bool {
        switch self {
        case .undefined, .none: false
        case .bool(let value): value
        case .integer(let value): value != 0
        case .float(let value): value != 0
        case .string(let value): !value.isEmpty
        case .list(let values): !values.isEmpty
        case .dictionary(let members): !members.isEmpty
        case .namespace, .macro, .function, .method: true
        }
    }

    /// The type's name in Python.
    var typeName: String {
        switch self {
        case .undefined: "Undefined"
        case .none: "NoneType"
        case .bool: "bool"
        case .integer: "int"
        case .float: "float"
        case .string: "str"
        case .list: "list"
        case .dictionary: "dict"
        case .namespace: "Namespace"
        case .macro: "Macro"
        case .function, .method: "function"
        }
    }

    /// The value as a number, as Python counts booleans too.
    var number: Double? {
        switch self {
        case .bool(let value): value ? 1 : 0
        case .integer(let value): Double(value)
        case .float(let value): value
        default: nil
        }
    }

    /// The value as an index or count.
    var integer: Int? {
        switch self {
        case .bool(let value): value ? 1 : 0
        case .integer(let value): value
        default: nil
        }
    }

    var isUndefined: Bool { if case .undefined = self { true } else { false } }

    var isFloat: Bool { if case .float = self { true } else { false } }
}

extension Value {
    /// Whether Python's `==` holds. Strings are equal when their code points are.
    func equals(_ other: Value) -> Bool {
        switch (self, other) {
        case (.undefined, .undefined), (.none, .none): return true
        case (.string(let a), .string(let b)): return a.utf8.elementsEqual(b.utf8)
        case (.list(let a), .list(let b)): return a.elementsEqual(b) { $0.equals($1) }
        case (.dictionary(let a), .dictionary(let b)):
            return a.count == b.count
                && a.allSatisfy { key, value in b[key].map { value.equals($0) } ?? false }
        case (.namespace(let a), .namespace(let b)): return a === b
        case (.macro(let a), .macro(let b)): return a === b
        case (.integer(let a), .integer(let b)): return a == b
        default:
            guard let a = number, let b = other.number else { return false }
            return a == b
        }
    }

    /// Whether this comes before `other`; nil when Python would not compare them.
    func precedes(_ other: Value) -> Bool? {
        switch (self, other) {
        case (.string(let a), .string(let b)):
            return a.unicodeScalars.lexicographicallyPrecedes(b.unicodeScalars)
        case (.list(let a), .list(let b)):
            for (x, y) in zip(a, b) where !x.equals(y) { return x.precedes(y) }
            return a.count < b.count
        case (.integer(let a), .integer(let b)): return a < b
        default:
            guard let a = number, let b = other.number else { return nil }
            return a < b
        }
    }
}

extension Value {
    /// Python's `str`.
    var text: String {
        switch self {
        case .undefined: ""
        case .string(let value): value
        default: representation
        }
    }

    /// Python's `repr`.
    var representation: String {
        switch self {
        case .undefined: return "Undefined"
        case .none: return "None"
        case .bool(let value): return value ? "True" : "False"
        case .integer(let value): return String(value)
        case .float(let value): return pythonFloat(value)
        case .string(let value): return quoted(value)
        case .list(let values): return "[" + values.map(\.representation).joined(separator: ", ") + "]"
        case .dictionary(let members):
            let entries = members.map { quoted($0.key.string) + ": " + $0.value.representation }
            return "{" + entries.joined(separator: ", ") + "}"
        case .namespace: return "<Namespace>"
        case .macro(let bound): return "<Macro '\(bound.macro.name)'>"
        case .function(let name): return "<function \(name)>"
        case .method(let value, let name): return "<built-in method \(name) of \(value.typeName) object>"
        }
    }

    private func quoted(_ text: String) -> String {
        let quote: Unicode.Scalar = text.contains("'") && !text.contains("\"") ? "\"" : "'"
        var result = String.UnicodeScalarView()
        result.append(quote)
        for scalar in text.unicodeScalars {
            switch scalar {
            case quote, "\\": result.append(contentsOf: ["\\", scalar])
            case "\n": result.append(contentsOf: "\\n".unicodeScalars)
            case "\r": result.append(contentsOf: "\\r".unicodeScalars)
            case "\t": result.append(contentsOf: "\\t".unicodeScalars)
            default:
                if scalar.value < 0x20 || scalar.value == 0x7F {
                    let digits = String(scalar.value, radix: 16)
                    result.append(contentsOf: ("\\x" + (digits.count < 2 ? "0" : "") + digits).unicodeScalars)
                } else {
                    result.append(scalar)
                }
            }
        }
        result.append(quote)
        return String(result)
    }
}

/// A float as Python writes it.
func pythonFloat(_ value: Double) -> String {
    if value.isNaN { return "nan" }
    if value.isInfinite { return value < 0 ? "-inf" : "inf" }
    let magnitude = abs(value)
    if value == value.rounded(), magnitude < 1e16 {
        return "\(Int(value) == 0 && value.sign == .minus ? "-0" : String(Int(value))).0"
    }
    // Swift writes the same shortest digits; only the form of exponents differs.
    let text = value.description
    guard let mark = text.firstIndex(of: "e") else { return text }
    var mantissa = String(text[..<mark])
    if mantissa.hasSuffix(".0") { mantissa.removeLast(2) }
    var exponent = text[text.index(after: mark)...]
    let sign = exponent.hasPrefix("-") ? "-" : "+"
    exponent = exponent.drop { $0 == "-" || $0 == "+" }
    return mantissa + "e" + sign + (exponent.count < 2 ? "0" : "") + exponent
}
