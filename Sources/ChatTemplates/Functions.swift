import Foundation
import JSON
import OrderedCollections

func power(_ base: Double, _ exponent: Double) -> Double { pow(base, exponent) }

extension Interpreter {
    func isFunction(_ name: String) -> Bool {
        ["range", "namespace", "raise_exception", "strftime_now", "dict"].contains(name)
    }

    mutating func call(_ callee: Value, _ arguments: EvaluatedArguments) throws(ChatTemplateError) -> Value {
        switch callee {
        case .macro(let macro):
            return try nested { (interpreter) throws(ChatTemplateError) in
                try interpreter.call(macro, arguments)
            }
        case .method(let value, let name): return try method(name, of: value, arguments)
        case .function(let name): return try function(name, arguments)
        case .undefined(let message): throw .failed("UndefinedError: \(message)")
        default: throw .failed("TypeError: '\(callee.typeName)' object is not callable")
        }
    }

    private mutating func function(_ name: String, _ arguments: EvaluatedArguments) throws(ChatTemplateError)
        -> Value
    {
        switch name {
        case "raise_exception": throw .raised(arguments.value(0, "message")?.text ?? "")
        case "range": return try range(arguments)
        case "strftime_now": return .string(Self.formattedNow(arguments.value(0, "format")?.text ?? ""))
        default:
            var members: Value.Members = [:]
            if case .dictionary(let given)? = arguments.positional.first { members = given }
            for (name, value) in arguments.named { members[JSONKey(name)] = value }
            guard name == "namespace" else { return .dictionary(members) }
            try weigh(.dictionary(members))
            try refuseNamespaces(in: .dictionary(members))
            return .namespace(Namespace(members))
        }
    }

    private mutating func range(_ arguments: EvaluatedArguments) throws(ChatTemplateError) -> Value {
        var bounds: [Int] = []
        for argument in arguments.positional {
            guard let bound = argument.integer else {
                throw .failed("TypeError: '\(argument.typeName)' object cannot be interpreted as an integer")
            }
            bounds.append(bound)
        }
        guard let first = bounds.first, bounds.count <= 3 else {
            throw .failed("TypeError: range expected 1 to 3 arguments")
        }
        let (start, end) = bounds.count == 1 ? (0, first) : (first, bounds[1])
        let step = bounds.count == 3 ? bounds[2] : 1
        guard step != 0 else { throw .failed("ValueError: range() arg 3 must not be zero") }
        var values: [Value] = []
        for value in stride(from: start, to: end, by: step) {
            guard values.count < 100_000 else { throw .limitReached("a range is too long") }
            values.append(.integer(value))
        }
        try spend(64 * values.count)
        return .list(values)
    }

    /// The current local time, formatted as `strftime` does.
    private static func formattedNow(_ format: String) -> String {
        var (now, parts) = (time(nil), tm())
        localtime_r(&now, &parts)
        var buffer = [CChar](repeating: 0, count: 512)
        let count = strftime(&buffer, buffer.count, String(format.prefix(200)), &parts)
        return String(decoding: buffer.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// Whether `value is name` holds.
    mutating func test(_ name: String, _ value: Value, _ operands: [Value]) throws(ChatTemplateError) -> Bool
    {
        try weigh(value)
        for operand in operands { try weigh(operand) }
        switch name {
        case "defined": return !value.isUndefined
        case "undefined": return value.isUndefined
        case "none": if case .none = value { return true } else { return false }
        case "string": if case .string = value { return true } else { return false }
        case "mapping": if case .dictionary = value { return true } else { return false }
        case "boolean": if case .bool = value { return true } else { return false }
        case "integer": if case .integer = value { return true } else { return false }
        case "float": return value.isFloat
        case "number": return value.number != nil
        case "sequence", "iterable":
            switch value {
            case .string, .list, .dictionary, .undefined: return true
            default: return false
            }
        case "true": if case .bool(true) = value { return true } else { return false }
        case "false": if case .bool(false) = value { return true } else { return false }
        case "callable":
            switch value {
            case .macro, .function, .method: return true
            default: return false
            }
        case "lower": return value.text == value.text.lowercased() && value.text != value.text.uppercased()
        case "upper": return value.text == value.text.uppercased() && value.text != value.text.lowercased()
        default: return try comparisonTest(name, value, operands)
        }
    }

    private mutating func comparisonTest(
        _ name: String, _ value: Value, _ operands: [Value]
    ) throws(ChatTemplateError) -> Bool {
        switch name {
        case "even", "odd":
            guard let integer = value.integer else {
                throw .failed("TypeError: not all arguments converted during string formatting")
            }
            return integer.isMultiple(of: 2) == (name == "even")
        case "eq", "equalto", "==", "ne", "!=", "lt", "lessthan", "<", "le", "<=", "gt", "greaterthan", ">",
            "ge", ">=",
            "in", "sameas", "divisibleby":
            break
        default: throw .failed("TemplateRuntimeError: No test named '\(name)'.")
        }
        guard let other = operands.first else {
            throw .failed("TypeError: the test '\(name)' expects an argument")
        }
        func precedes(_ a: Value, _ b: Value) throws(ChatTemplateError) -> Bool {
            guard let result = a.precedes(b) else {
                throw .failed(
                    "TypeError: '<' not supported between instances of '\(a.typeName)' and '\(b.typeName)'")
            }
            return result
        }
        switch name {
        case "eq", "equalto", "==": return value.equals(other)
        case "sameas": return value.typeName == other.typeName && value.equals(other)
        case "ne", "!=": return !value.equals(other)
        case "lt", "lessthan", "<": return try precedes(value, other)
        case "gt", "greaterthan", ">": return try precedes(other, value)
        case "le", "<=": return value.equals(other) ? true : try precedes(value, other)
        case "ge", ">=": return value.equals(other) ? true : try precedes(other, value)
        case "in": return try contains(other, value)
        default:
            guard let a = value.integer, let b = other.integer, b != 0 else {
                throw .failed("TypeError: divisibleby expects integers")
            }
            return a.isMultiple(of: b)
        }
    }
}
