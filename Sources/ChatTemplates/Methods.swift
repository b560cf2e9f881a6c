import Foundation
import JSON
import OrderedCollections

private let stringMethods: Set<String> = [
    "split", "rsplit", "strip", "lstrip", "rstrip", "startswith", "endswith", "upper", "lower", "title",
    "capitalize",
    "replace", "find", "rfind", "index", "join", "count", "isdigit", "isalpha", "isalnum", "isspace",
    "isupper",
    "islower", "splitlines", "removeprefix", "removesuffix", "partition",
]
private let dictionaryMethods: Set<String> = ["get", "items", "keys", "values", "copy"]
private let listMethods: Set<String> = ["index", "count", "copy"]
/// Methods that would change a value, which no template may.
private let mutatingMethods: Set<String> = [
    "append", "extend", "insert", "pop", "remove", "reverse", "sort", "clear", "update", "setdefault",
    "popitem",
]

extension Interpreter {
    func hasMethod(_ name: String, _ value: Value) -> Bool {
        switch value {
        case .string: stringMethods.contains(name)
        case .dictionary:
            dictionaryMethods.contains(name) || (mutatingMethods.contains(name) && name != "append")
        case .list: listMethods.contains(name) || mutatingMethods.contains(name)
        default: false
        }
    }

    mutating func method(
        _ name: String, of value: Value, _ arguments: EvaluatedArguments
    ) throws(ChatTemplateError) -> Value {
        try weigh(value)
        for argument in arguments.positional { try weigh(argument) }
        switch value {
        case .string(let text): return try stringMethod(name, text, arguments)
        case .dictionary(let members): return try dictionaryMethod(name, members, arguments)
        case .list(let values): return try listMethod(name, values, arguments)
        case .integer(let index) where name == "cycle":
            guard !arguments.positional.isEmpty else {
                throw .failed("TypeError: no items for cycling given")
            }
            return arguments.positional[index % arguments.positional.count]
        default: throw .failed("UndefinedError: '\(value.typeName) object' has no attribute '\(name)'")
        }
    }

    private func dictionaryMethod(
        _ name: String, _ members: Value.Members, _ arguments: EvaluatedArguments
    ) throws(ChatTemplateError) -> Value {
        switch name {
        case "get":
            guard case .string(let key)? = arguments.positional.first else {
                return arguments.value(1, "default") ?? .none
            }
            return members[JSONKey(key)] ?? arguments.value(1, "default") ?? .none
        case "items": return .list(members.map { .list([.string($0.key.string), $0.value]) })
        case "keys": return .list(members.keys.map { .string($0.string) })
        case "values": return .list(Array(members.values))
        case "copy": return .dictionary(members)
        default: throw unsafeCall(name, "dict")
        }
    }

    private func listMethod(
        _ name: String, _ values: [Value], _ arguments: EvaluatedArguments
    ) throws(ChatTemplateError) -> Value {
        switch name {
        case "copy": return .list(values)
        case "index", "count":
            guard let element = arguments.positional.first else {
                throw .failed("TypeError: \(name) expects an argument")
            }
            if name == "count" { return .integer(values.count { $0.equals(element) }) }
            guard let index = values.firstIndex(where: { $0.equals(element) }) else {
                throw .failed("ValueError: \(element.representation) is not in list")
            }
            return .integer(index)
        default: throw unsafeCall(name, "list")
        }
    }

    private func unsafeCall(_ name: String, _ type: String) -> ChatTemplateError {
        .failed("SecurityError: <built-in method \(name) of \(type) object> is not safely callable")
    }

    private mutating func stringMethod(
        _ name: String, _ text: String, _ arguments: EvaluatedArguments
    ) throws(ChatTemplateError) -> Value {
        switch name {
        case "strip", "lstrip", "rstrip":
            let characters = arguments.positional.first.flatMap { value -> String? in
                if case .string(let text) = value { text } else { nil }
            }
            return .string(text.trimmed(characters, left: name != "rstrip", right: name != "lstrip"))
        case "upper": return .string(text.uppercased())
        case "lower": return .string(text.lowercased())
        case "title": return .string(text.titleCased)
        case "capitalize": return .string(text.capitalizedSentence)
        case "startswith", "endswith": return .bool(try affix(name, text, arguments))
        case "split", "rsplit": return .list(try split(text, arguments, fromRight: name == "rsplit"))
        case "splitlines": return .list(lines(text))
        case "replace": return .string(try replaced(text, arguments))
        case "join":
            var parts: [String] = []
            for item in try elements(of: arguments.positional.first ?? .list([])) {
                guard case .string(let part) = item else {
                    throw .failed(
                        "TypeError: sequence item \(parts.count): expected str instance, \(item.typeName) found"
                    )
                }
                parts.append(part)
            }
            return .string(parts.joined(separator: text))
        case "removeprefix", "removesuffix", "partition", "find", "rfind", "index", "count":
            return try search(name, text, arguments)
        default: return .bool(classified(name, text))
        }
    }

    private func classified(_ name: String, _ text: String) -> Bool {
        let scalars = text.unicodeScalars
        func all(_ holds: (Unicode.Scalar) -> Bool) -> Bool { !scalars.isEmpty && scalars.allSatisfy(holds) }
        func isDigit(_ scalar: Unicode.Scalar) -> Bool {
            scalar.properties.numericType != nil && scalar.properties.numericType != .numeric
        }
        switch name {
        case "isdigit": return all(isDigit)
        case "isalpha": return all(\.properties.isAlphabetic)
        case "isalnum": return all { $0.properties.isAlphabetic || isDigit($0) }
        case "isspace": return all(\.properties.isWhitespace)
        case "isupper": return text == text.uppercased() && text != text.lowercased()
        default: return text == text.lowercased() && text != text.uppercased()
        }
    }

    private func string(_ value: Value?, _ what: String) throws(ChatTemplateError) -> String {
        guard case .string(let text)? = value else {
            throw .failed("TypeError: \(what) expects a string, not \(value?.typeName ?? "nothing")")
        }
        return text
    }

    private func affix(_ name: String, _ text: String, _ arguments: EvaluatedArguments)
        throws(ChatTemplateError) -> Bool
    {
        var candidates = arguments.positional.prefix(1).map { $0 }
        if case .list(let several)? = candidates.first { candidates = several }
        for candidate in candidates {
            let part = try string(candidate, name).utf8
            if name == "startswith"
                ? text.utf8.starts(with: part) : text.utf8.reversed().starts(with: part.reversed())
            {
                return true
            }
        }
        return false
    }

    private mutating func split(
        _ text: String, _ arguments: EvaluatedArguments, fromRight: Bool
    ) throws(ChatTemplateError) -> [Value] {
        let limit = arguments.value(1, "maxsplit")?.integer ?? -1
        let most = limit < 0 ? Int.max : limit
        let separator = arguments.value(0, "sep")
        guard let separator, case .string(let mark) = separator else {
            try spend(64 * text.utf8.count)
            return words(text, most: most, fromRight: fromRight)
        }
        guard !mark.isEmpty else { throw .failed("ValueError: empty separator") }
        let (bytes, part) = (Array(text.utf8), Array(mark.utf8))
        var found: [Range<Int>] = []
        var start = 0
        while let range = firstRange(of: part, in: bytes, from: start) {
            found.append(range)
            start = range.upperBound
        }
        try spend(64 * found.count)
        found = fromRight ? Array(found.suffix(most)) : Array(found.prefix(most))
        var (result, end): ([Value], Int) = ([], 0)
        for range in found {
            result.append(.string(String(decoding: bytes[end..<range.lowerBound], as: UTF8.self)))
            end = range.upperBound
        }
        return result + [.string(String(decoding: bytes[end...], as: UTF8.self))]
    }

    /// Splits at runs of white space.
    private func words(_ text: String, most: Int, fromRight: Bool) -> [Value] {
        let scalars = Array(text.unicodeScalars)
        var words: [Range<Int>] = []
        var index = 0
        while index < scalars.count {
            let start = index
            while index < scalars.count, !scalars[index].properties.isWhitespace { index += 1 }
            if index > start { words.append(start..<index) }
            index += 1
        }
        if words.count > most, let first = words.first {
            // What is left over keeps its inner spaces.
            if fromRight {
                let kept = words.suffix(most)
                let end = words[words.count - most - 1].upperBound
                words = [first.lowerBound..<end] + kept
            } else {
                let kept = words.prefix(most)
                words = kept + [words[most].lowerBound..<scalars.count]
            }
        }
        return words.map { range in
            var view = String.UnicodeScalarView()
            view.append(contentsOf: scalars[range])
            return .string(String(view))
        }
    }

    private func lines(_ text: String) -> [Value] {
        var lines = text.replacing("\r\n", with: "\n").replacing("\r", with: "\n").components(
            separatedBy: "\n")
        if lines.last == "" { lines.removeLast() }
        return lines.map { .string($0) }
    }

    private mutating func replaced(_ text: String, _ arguments: EvaluatedArguments) throws(ChatTemplateError)
        -> String
    {
        let old = Array(try string(arguments.value(0, "old") ?? arguments.named["s"], "replace").utf8)
        let new = Array(try string(arguments.value(1, "new"), "replace").utf8)
        let limit = arguments.value(2, "count")?.integer ?? -1
        let bytes = Array(text.utf8)
        guard !old.isEmpty else { return text }
        var (result, end, count): ([UInt8], Int, Int) = ([], 0, 0)
        while limit < 0 || count < limit, let range = firstRange(of: old, in: bytes, from: end) {
            result += bytes[end..<range.lowerBound]
            result += new
            guard result.count <= limits.outputBytes else { throw .limitReached("a value grows too large") }
            (end, count) = (range.upperBound, count + 1)
        }
        result += bytes[end...]
        try spend(result.count)
        return String(decoding: result, as: UTF8.self)
    }

    private func search(_ name: String, _ text: String, _ arguments: EvaluatedArguments)
        throws(ChatTemplateError) -> Value
    {
        let (bytes, part) = (Array(text.utf8), Array(try string(arguments.positional.first, name).utf8))
        func piece(_ bytes: some Collection<UInt8>) -> Value {
            .string(String(decoding: Array(bytes), as: UTF8.self))
        }
        switch name {
        case "removeprefix":
            return bytes.starts(with: part) ? piece(bytes.dropFirst(part.count)) : .string(text)
        case "removesuffix":
            return bytes.reversed().starts(with: part.reversed())
                ? piece(bytes.dropLast(part.count)) : .string(text)
        default: break
        }
        var found: [Range<Int>] = []
        var start = 0
        while let range = firstRange(of: part, in: bytes, from: start) {
            found.append(range)
            start = range.upperBound
        }
        switch name {
        case "count": return .integer(found.count)
        case "partition":
            guard let first = found.first else { return .list([.string(text), .string(""), .string("")]) }
            return .list([piece(bytes[..<first.lowerBound]), piece(part), piece(bytes[first.upperBound...])])
        default:
            guard let range = name == "rfind" ? found.last : found.first else {
                if name == "index" { throw .failed("ValueError: substring not found") }
                return .integer(-1)
            }
            return .integer(String(decoding: bytes[..<range.lowerBound], as: UTF8.self).unicodeScalars.count)
        }
    }
}

extension Value {
    /// Whether going through the value is more than one step.
    var isComposite: Bool {
        switch self {
        case .string, .list, .dictionary, .method, .namespace: true
        default: false
        }
    }
}

extension String {
    /// Without the white space, or the given characters, at its ends.
    func trimmed(_ characters: String? = nil, left: Bool = true, right: Bool = true) -> String {
        let set = characters.map { Set($0.unicodeScalars) }
        func isDropped(_ scalar: Unicode.Scalar) -> Bool {
            set?.contains(scalar) ?? (scalar.properties.isWhitespace || (0x1C...0x1F).contains(scalar.value))
        }
        var scalars = unicodeScalars[...]
        if left { scalars = scalars.drop(while: isDropped) }
        while right, let last = scalars.last, isDropped(last) { scalars.removeLast() }
        return String(scalars)
    }

    var capitalizedSentence: String { prefix(1).uppercased() + dropFirst().lowercased() }

    /// Every letter after something that is no letter in upper case, all others in lower case.
    var titleCased: String {
        var (result, afterLetter) = ("", false)
        for character in self {
            result += afterLetter ? character.lowercased() : character.uppercased()
            afterLetter = character.isLetter
        }
        return result
    }
}
