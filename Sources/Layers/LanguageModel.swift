public import Tensors

/// What a network says about a row.
public enum ModelOutput: Sendable {
    /// One number for each token of the vocabulary.
    case logits
    /// How good the sequence so far is, one number (a reward model).
    case score
    /// Its last hidden state, normalised.
    case hidden
}

/// Whether a model is built with what follows its last hidden state.
public enum ModelHead: Sendable {
    /// As the checkpoint has it.
    case ofCheckpoint
    /// Hidden states come out. The checkpoint need not have a head, and what it has is not read.
    case none
}

/// A network that predicts the next token, scores what it has read, or says what it makes of it.
public protocol LanguageModel: Sendable {
    var cacheLayout: CacheLayout { get }
    /// Tokens are numbers below this.
    var vocabularySize: Int { get }
    var output: ModelOutput { get }
    /// Of how many numbers the output is for a row.
    var outputWidth: Int { get }
    /// The most tokens that the network has positions for; nil when there is no such limit.
    var longestSequence: Int? { get }
    /// The output for the rows the pass wants to sample: `sampledRows` x `outputWidth`.
    func callAsFunction(_ pass: ForwardPass) -> Matrix
    /// Whether what was cached while a sequence had `length` tokens still holds when it has `newLength`. It
    /// does not where positions are encoded by the sequence's length; then the sequence is computed anew.
    func keepsCache(from length: Int, to newLength: Int) -> Bool
}

extension LanguageModel {
    public var output: ModelOutput { .logits }
    public var outputWidth: Int { vocabularySize }
    public var longestSequence: Int? { nil }
    public func keepsCache(from length: Int, to newLength: Int) -> Bool { true }
}

/// A family of checkpoints that share a config and a set of weight names.
public protocol Architecture: SendableMetatype {
    /// config.json, decoded with `.convertFromSnakeCase`.
    associatedtype Config: Decodable & Sendable
    associatedtype Model: LanguageModel

    /// The values of `model_type` in config.json this architecture answers to.
    static var modelTypes: [String] { get }

    /// The classes, first of `architectures` in config.json, that this answers to whatever the model type says.
    static var classNames: [String] { get }

    static func build(_ config: Config, _ weights: Parameters) throws -> Model

    /// Whether checkpoints may carry this tensor although the architecture has no use for it.
    static func ignores(_ tensor: String, _ config: Config) -> Bool
}

extension Architecture {
    public static var classNames: [String] { [] }
}
