/// Why a constraint cannot be used, or why a text breaks it. Says where, what was expected and what was found.
public struct StructuredOutputError: Error, Sendable, Equatable, CustomStringConvertible {
    public enum Code: String, Sendable {
        /// Malformed: no schema, no regular expression, no grammar.
        case invalid = "invalid_schema"
        /// Well formed, but it says something that no automaton here can promise.
        case unsupported = "unsupported_schema"
        /// Larger or more ambiguous than a server spends memory and time on.
        case tooComplex = "schema_too_complex"
        /// Nothing satisfies it.
        case unsatisfiable = "unsatisfiable_schema"
        /// The vocabulary has no token that goes on with the text.
        case deadEnd = "no_token_allowed"
        /// A finished document does not satisfy the schema.
        case violated = "schema_violated"
    }

    public let code: Code
    /// Where: a keyword, a rule, an offset, or a place in a document.
    public let place: String
    public let expected: String
    public let found: String

    public init(_ code: Code, at place: String, expected: String, found: String) {
        (self.code, self.place, self.expected, self.found) = (code, place, expected, found.shortened)
    }

    public var description: String { "\(place): expected \(expected), found \(found)" }
}

extension String {
    /// The first 80 characters or so: found text comes from outside and may be of any length.
    var shortened: String {
        let start = self.prefix(80)
        return start.endIndex == endIndex ? self : start + "…"
    }
}
