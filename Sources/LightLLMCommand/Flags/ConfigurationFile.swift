import ArgumentParser
import Foundation
import Yams

/// Flags in a YAML file: `name: value`, `name: [value, value]`, `name: true`.
enum ConfigurationFile {
    private static let largest = 64 << 10

    /// Throws an error that names the line of what is wrong.
    static func uses(path: String, _ dictionary: FlagDictionary) throws -> [FlagUse] {
        guard let data = FileManager.default.contents(atPath: path) else {
            throw ValidationError("--config: \(path): no such file")
        }
        guard data.count <= largest else {
            throw ValidationError("--config: \(path): expected \(largest) bytes at most, found \(data.count)")
        }
        guard let text = String(data: data, encoding: .utf8) else {
            throw ValidationError("--config: \(path): not UTF-8")
        }
        return try uses(text, path, dictionary)
    }

    static func uses(_ text: String, _ path: String, _ dictionary: FlagDictionary) throws -> [FlagUse] {
        if let line = lineOfReference(text) {
            throw ValidationError("\(path):\(line): anchors and aliases have no place here")
        }
        guard let root = try parsed(text, path) else { return [] }
        guard let mapping = root.mapping else {
            throw ValidationError("\(path): expected lines of 'flag: value'")
        }
        return try mapping.compactMap { key, value in
            let place = "\(path):\(key.mark?.line ?? 0)"
            guard let spelling = key.scalar?.string else {
                throw ValidationError("\(place): a flag's name must be a text")
            }
            let name =
                spelling.hasPrefix("-") && !spelling.hasPrefix("--")
                ? "-" + flagName(spelling) : flagName(spelling)
            guard dictionary[name] != nil, !["config", "help"].contains(name) else {
                throw ValidationError("\(place): there is no flag '\(spelling)'")
            }
            guard let values = values(value) else {
                throw ValidationError("\(place): \(spelling) must be a value or a list of values")
            }
            return values.isEmpty
                ? nil : FlagUse(spelling: spelling, name: name, values: values, place: place)
        }
    }

    private static func parsed(_ text: String, _ path: String) throws -> Node? {
        do {
            return try compose(yaml: text)
        } catch {
            throw ValidationError("--config: \(path): \(error)")
        }
    }

    /// Empty for null; nil for what is neither a value nor a list of some.
    private static func values(_ node: Node) -> [String]? {
        if node.null != nil { return [] }
        if let scalar = node.scalar { return [scalar.string] }
        guard let items = node.sequence else { return nil }
        let texts = items.compactMap { $0.scalar?.string }
        return texts.count == items.count ? texts : nil
    }

    /// The first line with an anchor or an alias: values that refer to each other may be endless once written out.
    private static func lineOfReference(_ text: String) -> Int? {
        for (number, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            var (quote, before): (Character?, Character) = (nil, " ")
            for character in line {
                if let open = quote {
                    if character == open { quote = nil }
                } else if (character == "\"" || character == "'"),
                    before.isWhitespace || "[{,:".contains(before)
                {
                    quote = character
                } else if character == "#", before.isWhitespace {
                    break
                } else if (character == "&" || character == "*"),
                    before.isWhitespace || "[{,:?-".contains(before)
                {
                    return number + 1
                }
                before = character
            }
        }
        return nil
    }
}
