/// A tokenizer that cannot be loaded, or a text it cannot be applied to.
public enum TokenizerError: Error, Equatable, CustomStringConvertible {
    case notFound(String)
    case malformed(String)
    case unsupported(String)
    /// A text on which a pattern of the tokenizer would take too long.
    case patternTooCostly

    public var description: String {
        switch self {
        case .notFound(let path): "\(path): no tokenizer; expected tokenizer.json"
        case .malformed(let reason): "tokenizer: \(reason)"
        case .unsupported(let what): "tokenizer: \(what) is not supported"
        case .patternTooCostly: "the tokenizer's pattern takes too long on this text"
        }
    }
}
