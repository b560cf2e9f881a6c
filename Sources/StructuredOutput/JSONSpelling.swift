import JSON

/// How the values of JSON are written.
public enum JSONSpelling: Sendable, Hashable {
    case json
    /// JSON without `<`, which strings hold as `\u003c`: it may stand between tags.
    case betweenTags
    /// `True`, `False` and `None`, as Python writes them.
    case python

    /// Characters that strings hold only as escapes, beside those that JSON demands.
    var escaped: String { self == .betweenTags ? "<" : "" }

    func text(_ value: JSONValue) -> String {
        switch self {
        case .json: value.serialized
        case .betweenTags:
            value.serialized.split(separator: "<", omittingEmptySubsequences: false)
                .joined(separator: "\\u003c")
        case .python: python(value)
        }
    }

    private func python(_ value: JSONValue) -> String {
        switch value {
        case .null: "None"
        case .bool(let value): value ? "True" : "False"
        case .integer, .number, .string: value.serialized
        case .array(let values): "[" + values.map(python).joined(separator: ",") + "]"
        case .object(let members):
            "{"
                + members.map { JSONValue.string($0.key.string).serialized + ":" + python($0.value) }
                .joined(separator: ",") + "}"
        }
    }
}

/// How the members of an object are written where they are not JSON: between tags, or as a call's arguments.
public struct MemberStyle: Sendable, Hashable {
    public enum Names: Sendable, Hashable {
        case identifiers
        /// Without `<`, `>` and control characters.
        case betweenTags
    }

    public var names: Names
    public var beforeName: String
    public var afterName: String
    public var afterValue: String
    public var separator: String
    public var spelling: JSONSpelling
    /// Members whose values, which must be strings, are written without quotes and escapes.
    public var bareMembers: Set<String>
    /// What such a string must not hold: the text that ends it.
    public var bareEnd: String

    public init(
        names: Names, beforeName: String, afterName: String, afterValue: String, separator: String,
        spelling: JSONSpelling, bareMembers: Set<String> = [], bareEnd: String = ""
    ) {
        (self.names, self.beforeName, self.afterName) = (names, beforeName, afterName)
        (self.afterValue, self.separator, self.spelling) = (afterValue, separator, spelling)
        (self.bareMembers, self.bareEnd) = (bareMembers, bareEnd)
    }

    func canWrite(_ name: String) -> Bool {
        guard !name.isEmpty else { return false }
        switch names {
        case .identifiers:
            return name.utf8.first.map { !(0x30...0x39).contains($0) } == true
                && name.unicodeScalars.allSatisfy { ScalarSet.word.contains($0.value) }
        case .betweenTags:
            return name.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0 != "<" && $0 != ">" }
        }
    }

    var key: [String] {
        [
            "\(names)", beforeName, afterName, afterValue, separator, "\(spelling)", bareEnd,
            "\(bareMembers.count)",
        ] + bareMembers.sorted()
    }
}
