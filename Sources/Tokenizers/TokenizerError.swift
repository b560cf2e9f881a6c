/// A tokenizer that cannot be loaded, or a text it cannot be applied to.
public enum TokenizerError: Error, Equatable, CustomStringConvertible {
    case notFound(String, expected: [String])
    case malformed(String)
    case unsupported(String)
    /// A text on which a pattern of the tokenizer would take too long.
    case patternTooCostly
    /// A text of more bytes than it may have.
    case textTooLong(Int, most: Int)

    public var description: String {
        switch self {
        case .notFound(let path, let expected):
            "\(path): no tokenizer; expected \(expected.joined(separator: " or "))"
        case .malformed(let reason): "tokenizer: \(reason)"
        case .unsupported(let what): "tokenizer: \(what) is not supported"
        case .textTooLong(let count, let most):
            "the text has \(count) bytes; the longest prompt has \(most) at most"
        case .patternTooCostly: "the tokenizer's pattern takes too long on this text"
        }
    }
}
