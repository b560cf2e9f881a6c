import Foundation
import JSON
import OrderedCollections

extension Interpreter {
    /// The filter `name` applied to `value`.
    mutating func apply(_ name: String, to value: Value, _ arguments: EvaluatedArguments)
        throws(ChatTemplateError) -> Value
    {
        try weigh(value)
        for argument in arguments.positional { try weigh(argument) }
        if let result = try textFilter(name, value, arguments) { return result }
        if let result = try sequenceFilter(name, value, arguments) { return result }
        switch name {
        case "default", "d":
            let isReplaced =
                value.isUndefined || (arguments.value(1, "boolean")?.isTrue ?? false && !value.isTrue)
            return isReplaced ? arguments.value(0, "default_value") ?? .string("") : value
        case "tojson": return .string(try tojson(value, arguments))
        case "int": return converted(value, arguments)
        case "float":
            if case .string(let text) = value {
                return Double(text.trimmed()).map { .float($0) } ?? .float(0)
            }
            return .float(value.number ?? 0)
        case "abs":
            if let integer = value.integer, integer != .min { return .integer(abs(integer)) }
            guard let number = value.number else {
                throw .failed("TypeError: bad operand type for abs(): '\(value.typeName)'")
            }
            return .float(abs(number))
        case "round":
            guard let number = value.number else {
                throw .failed("TypeError: type \(value.typeName) doesn't define __round__ method")
            }
            let scale = power(10, Double(arguments.value(0, "precision")?.integer ?? 0))
            return .float((number * scale).rounded(.toNearestOrEven) / scale)
        case "attr":
            guard let attribute = arguments.value(0, "name") else {
                throw .failed("TypeError: attr expects a name")
            }
            return try item(attribute, of: value)
        default: throw .failed("TemplateRuntimeError: No filter named '\(name)'.")
        }
    }

    private func converted(_ value: Value, _ arguments: EvaluatedArguments) -> Value {
        let standard = arguments.value(0, "default") ?? .integer(0)
        if let integer = value.integer { return .integer(integer) }
        let number: Double?
        if case .string(let text) = value {
            if let integer = Int(text.trimmed()) { return .integer(integer) }
            number = Double(text.trimmed())
        } else {
            number = value.number
        }
        return number.flatMap { Int(exactly: $0.rounded(.towardZero)) }.map { .integer($0) } ?? standard
    }

    private mutating func textFilter(
        _ name: String, _ value: Value, _ arguments: EvaluatedArguments
    ) throws(ChatTemplateError) -> Value? {
        switch name {
        case "string", "safe": return .string(value.text)
        case "trim":
            let characters = arguments.value(0, "chars")?.text
            return .string(value.text.trimmed(characters))
        case "upper": return .string(value.text.uppercased())
        case "lower": return .string(value.text.lowercased())
        case "capitalize": return .string(value.text.capitalizedSentence)
        case "title": return .string(value.text.titleCased)
        case "replace": return try method("replace", of: .string(value.text), arguments)
        case "indent": return .string(try indented(value.text, arguments))
        case "escape", "e", "forceescape":
            let pairs = [("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("\"", "&#34;"), ("'", "&#39;")]
            return .string(pairs.reduce(value.text) { $0.replacing($1.0, with: $1.1) })
        default: return nil
        }
    }

    private mutating func indented(_ text: String, _ arguments: EvaluatedArguments) throws(ChatTemplateError)
        -> String
    {
        let width = arguments.value(0, "width")
        let margin: String
        if case .string(let text)? = width {
            margin = text
        } else {
            margin = String(repeating: " ", count: min(max(width?.integer ?? 4, 0), 1000))
        }
        let indentsFirst = arguments.value(1, "first")?.isTrue ?? false
        let indentsBlank = arguments.value(2, "blank")?.isTrue ?? false
        let lines = text.components(separatedBy: "\n")
        try reserve(margin.utf8.count + 16, times: lines.count)
        return lines.enumerated().map { index, line in
            if index == 0 { return indentsFirst ? margin + line : line }
            return line.isEmpty && !indentsBlank ? line : margin + line
        }.joined(separator: "\n")
    }

    private mutating func sequenceFilter(
        _ name: String, _ value: Value, _ arguments: EvaluatedArguments
    ) throws(ChatTemplateError) -> Value? {
        switch name {
        case "length", "count": return .integer(try length(of: value))
        case "list": return .list(try elements(of: value))
        case "first": return try elements(of: value).first ?? .undefined("No first item, sequence was empty.")
        case "last": return try elements(of: value).last ?? .undefined("No last item, sequence was empty.")
        case "reverse":
            if case .string(let text) = value {
                var scalars = String.UnicodeScalarView()
                scalars.append(contentsOf: text.unicodeScalars.reversed())
                return .string(String(scalars))
            }
            return .list(try elements(of: value).reversed())
        case "join": return try joined(value, arguments)
        case "items":
            if value.isUndefined { return .list([]) }
            guard case .dictionary(let members) = value else {
                throw .failed("TypeError: Can only get item pairs from a mapping.")
            }
            return .list(members.map { .list([.string($0.key.string), $0.value]) })
        case "dictsort": return try dictsort(value, arguments)
        case "map": return try mapped(value, arguments)
        case "select", "reject", "selectattr", "rejectattr": return try selected(name, value, arguments)
        case "sort", "unique", "min", "max", "sum": return try ordered(name, value, arguments)
        default: return nil
        }
    }

    func length(of value: Value) throws(ChatTemplateError) -> Int {
        switch value {
        case .string(let text): return text.unicodeScalars.count
        case .list(let values): return values.count
        case .dictionary(let members): return members.count
        case .undefined: return 0
        default: throw .failed("TypeError: object of type '\(value.typeName)' has no len()")
        }
    }

    private mutating func joined(_ value: Value, _ arguments: EvaluatedArguments) throws(ChatTemplateError)
        -> Value
    {
        var items = try elements(of: value)
        if let attribute = arguments.value(1, "attribute") { items = try projected(items, attribute) }
        let separator = arguments.value(0, "d")?.text ?? ""
        try reserve(separator.utf8.count, times: items.count)
        for item in items { try weigh(item) }
        let text = items.map(\.text).joined(separator: separator)
        try spend(text.utf8.count)
        return .string(text)
    }

    /// The attribute, which may be a path with dots, of each item.
    private mutating func projected(_ items: [Value], _ attribute: Value) throws(ChatTemplateError) -> [Value]
    {
        var result: [Value] = []
        let path: [Value] =
            if case .string(let text) = attribute {
                text.components(separatedBy: ".").map { part in
                    Int(part).map { .integer($0) } ?? .string(part)
                }
            } else { [attribute] }
        for start in items {
            var value = start
            for step in path { value = try item(step, of: value) }
            result.append(value)
        }
        return result
    }

    private mutating func dictsort(_ value: Value, _ arguments: EvaluatedArguments) throws(ChatTemplateError)
        -> Value
    {
        guard case .dictionary(let members) = value else {
            throw .failed("TypeError: dictsort expects a mapping, not \(value.typeName)")
        }
        let isCaseSensitive = arguments.value(0, "case_sensitive")?.isTrue ?? false
        let byValue = arguments.value(1, "by")?.text == "value"
        let pairs = members.map { (key: Value.string($0.key.string), value: $0.value) }
        let sorted = try sorted(pairs, isCaseSensitive: isCaseSensitive) { byValue ? $0.value : $0.key }
        let ordered = arguments.value(2, "reverse")?.isTrue ?? false ? sorted.reversed() : sorted
        return .list(ordered.map { .list([$0.key, $0.value]) })
    }

    /// A stable sort; throws when two keys cannot be compared.
    private mutating func sorted<T>(
        _ items: [T], isCaseSensitive: Bool, _ key: (T) -> Value
    ) throws(ChatTemplateError) -> [T] {
        try spend(64 * items.count)
        func folded(_ value: Value) -> Value {
            if !isCaseSensitive, case .string(let text) = value { .string(text.lowercased()) } else { value }
        }
        let keyed = items.map { (key: folded(key($0)), item: $0) }
        var mismatch: (Value, Value)?
        let order = keyed.indices.sorted { a, b in
            guard let result = keyed[a].key.precedes(keyed[b].key) else {
                mismatch = (keyed[a].key, keyed[b].key)
                return a < b
            }
            return result || (a < b && keyed[b].key.precedes(keyed[a].key) != true)
        }
        if let (a, b) = mismatch {
            throw .failed(
                "TypeError: '<' not supported between instances of '\(a.typeName)' and '\(b.typeName)'")
        }
        return order.map { keyed[$0].item }
    }

    private mutating func mapped(_ value: Value, _ arguments: EvaluatedArguments) throws(ChatTemplateError)
        -> Value
    {
        let items = try elements(of: value)
        if let attribute = arguments.named["attribute"] {
            var result = try projected(items, attribute)
            if let standard = arguments.named["default"] {
                result = result.map { $0.isUndefined ? standard : $0 }
            }
            return .list(result)
        }
        guard case .string(let filter)? = arguments.positional.first else {
            throw .failed("FilterArgumentError: map requires a filter argument")
        }
        var rest = arguments
        rest.positional.removeFirst()
        var result: [Value] = []
        for item in items { result.append(try apply(filter, to: item, rest)) }
        return .list(result)
    }

    private mutating func selected(
        _ name: String, _ value: Value, _ arguments: EvaluatedArguments
    ) throws(ChatTemplateError) -> Value {
        var operands = arguments.positional
        let attribute = name.hasSuffix("attr") && !operands.isEmpty ? operands.removeFirst() : nil
        let testName = operands.isEmpty ? nil : operands.removeFirst().text
        let keeps = name.hasPrefix("select")
        var result: [Value] = []
        for entry in try elements(of: value) {
            let subject =
                try attribute.map { (path) throws(ChatTemplateError) in try projected([entry], path)[0] }
                ?? entry
            let holds =
                try testName.map { (name) throws(ChatTemplateError) in try test(name, subject, operands) }
                ?? subject.isTrue
            if holds == keeps { result.append(entry) }
        }
        return .list(result)
    }

    private mutating func ordered(
        _ name: String, _ value: Value, _ arguments: EvaluatedArguments
    ) throws(ChatTemplateError) -> Value {
        let items = try elements(of: value)
        let attribute = arguments.named["attribute"]
        let keys =
            try attribute.map { (path) throws(ChatTemplateError) in try projected(items, path) } ?? items
        let isCaseSensitive = arguments.named["case_sensitive"]?.isTrue ?? false
        let indices = Array(items.indices)
        switch name {
        case "sort":
            let order = try sorted(indices, isCaseSensitive: isCaseSensitive) { keys[$0] }
            let isReversed = arguments.value(0, "reverse")?.isTrue ?? false
            return .list((isReversed ? order.reversed() : order).map { items[$0] })
        case "min", "max":
            let order = try sorted(indices, isCaseSensitive: isCaseSensitive) { keys[$0] }
            let chosen = name == "min" ? order.first : order.last
            return chosen.map { items[$0] } ?? .undefined("No aggregated item, sequence was empty.")
        case "sum":
            var total = arguments.value(1, "start")?.number ?? 0
            for key in keys { total += key.number ?? 0 }
            let isInteger = !keys.contains { $0.isFloat }
            return isInteger ? Int(exactly: total).map { .integer($0) } ?? .float(total) : .float(total)
        default:
            var seen: [Value] = [], result: [Value] = []
            for (key, item) in zip(keys, items) where !seen.contains(where: { $0.equals(key) }) {
                try spend(64 * seen.count)
                seen.append(key)
                result.append(item)
            }
            return .list(result)
        }
    }

    /// `json.dumps` without ASCII escapes, as transformers configures it.
    private func tojson(_ value: Value, _ arguments: EvaluatedArguments) throws(ChatTemplateError) -> String {
        var writer = TemplateJSONWriter(longest: limits.outputBytes)
        if let indent = arguments.value(0, "indent") {
            if case .string(let text) = indent {
                writer.indent = text
            } else if let width = indent.integer {
                writer.indent = String(repeating: " ", count: min(max(width, 0), 64))
            }
            if writer.indent != nil { writer.itemSeparator = "," }
        }
        if case .list(let separators)? = arguments.named["separators"], separators.count == 2 {
            (writer.itemSeparator, writer.keySeparator) = (separators[0].text, separators[1].text)
        }
        writer.sortsKeys = arguments.named["sort_keys"]?.isTrue ?? false
        writer.escapesNonASCII = arguments.named["ensure_ascii"]?.isTrue ?? false
        try writer.write(value, depth: 0)
        return writer.text
    }
}

/// Python's `json.dumps`.
struct TemplateJSONWriter {
    /// Bytes of text after which writing stops.
    let longest: Int
    var indent: String?
    var itemSeparator = ", "
    var keySeparator = ": "
    var sortsKeys = false
    var escapesNonASCII = false
    private(set) var text = ""

    init(longest: Int) { self.longest = longest }

    mutating func write(_ value: Value, depth: Int) throws(ChatTemplateError) {
        guard text.utf8.count <= longest else { throw .limitReached("a value grows too large") }
        switch value {
        case .none: text += "null"
        case .bool(let value): text += value ? "true" : "false"
        case .integer(let value): text += String(value)
        case .float(let value):
            text +=
                value.isNaN
                ? "NaN" : value.isInfinite ? (value < 0 ? "-Infinity" : "Infinity") : pythonFloat(value)
        case .string(let value): write(value)
        case .list(let values):
            try writeItems(values, open: "[", close: "]", depth) {
                (writer, value) throws(ChatTemplateError) in
                try writer.write(value, depth: depth + 1)
            }
        case .dictionary(let members):
            var pairs = members.map { ($0.key.string, $0.value) }
            if sortsKeys { pairs.sort { $0.0.unicodeScalars.lexicographicallyPrecedes($1.0.unicodeScalars) } }
            try writeItems(pairs, open: "{", close: "}", depth) { (writer, pair) throws(ChatTemplateError) in
                writer.write(pair.0)
                writer.text += writer.keySeparator
                try writer.write(pair.1, depth: depth + 1)
            }
        case .undefined, .namespace, .macro, .function, .method:
            throw .failed("TypeError: Object of type \(value.typeName) is not JSON serializable")
        }
    }

    private mutating func writeItems<T>(
        _ items: [T], open: String, close: String, _ depth: Int,
        _ body: (inout TemplateJSONWriter, T) throws(ChatTemplateError) -> Void
    ) throws(ChatTemplateError) {
        text += open
        for (index, item) in items.enumerated() {
            if index > 0 { text += itemSeparator }
            breakLine(depth + 1)
            try body(&self, item)
        }
        if !items.isEmpty { breakLine(depth) }
        text += close
    }

    private mutating func breakLine(_ depth: Int) {
        guard let indent else { return }
        text += "\n" + String(repeating: indent, count: depth)
    }

    private mutating func write(_ string: String) {
        text += "\""
        for scalar in string.unicodeScalars {
            switch scalar {
            case "\"": text += "\\\""
            case "\\": text += "\\\\"
            case "\n": text += "\\n"
            case "\r": text += "\\r"
            case "\t": text += "\\t"
            case "\u{8}": text += "\\b"
            case "\u{C}": text += "\\f"
            default:
                if scalar.value < 0x20 || (escapesNonASCII && scalar.value > 0x7E) {
                    for unit in String(scalar).utf16 {
                        let digits = String(unit, radix: 16)
                        text += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
                    }
                } else {
                    text.unicodeScalars.append(scalar)
                }
            }
        }
        text += "\""
    }
}
