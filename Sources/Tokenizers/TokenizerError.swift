/// A tokenizer that cannot be loaded, or a text it cannot be applied to.
public enum TokenizerError: Error, Equatable, CustomStringConvertible {
    case notFound(String, expected: [String])
    case malformed(String)
    case unsupported(String)
    /// A text on which a pattern of the tokenizer would take too long.
    case patternTooCostly

    public var description: String {
        switch self {
        case .notFound(let path, let expected):
            "\(path): no tokenizer; expected \(expected.joined(separator: " or "))"
        case .malformed(let reason): "tokenizer: \(reason)"
        case .unsupported(let what): "tokenizer: \(what) is not supported"
        case .patternTooCostly: "the tokenizer's pattern takes too long on this text"
        }
    }
}
