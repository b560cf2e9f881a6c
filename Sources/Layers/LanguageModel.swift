public import Tensors

/// A network that predicts the next token.
public protocol LanguageModel: Sendable {
    var cacheLayout: CacheLayout { get }
    var vocabularySize: Int { get }
    /// Logits for the rows the pass wants to sample: `sampledRows` x `vocabularySize`.
    func callAsFunction(_ pass: ForwardPass) -> Matrix
    /// Whether what was cached while a sequence had `length` tokens still holds when it has `newLength`. It
    /// does not where positions are encoded by the sequence's length; then the sequence is computed anew.
    func keepsCache(from length: Int, to newLength: Int) -> Bool
}

extension LanguageModel {
    public func keepsCache(from length: Int, to newLength: Int) -> Bool { true }
}

/// A family of checkpoints that share a config and a set of weight names.
public protocol Architecture: SendableMetatype {
    /// config.json, decoded with `.convertFromSnakeCase`.
    associatedtype Config: Decodable & Sendable
    associatedtype Model: LanguageModel

    /// The values of `model_type` in config.json this architecture answers to.
    static var modelTypes: [String] { get }

    static func build(_ config: Config, _ weights: Parameters) throws -> Model

    /// Whether checkpoints may carry this tensor although the architecture has no use for it.
    static func ignores(_ tensor: String, _ config: Config) -> Bool
}
