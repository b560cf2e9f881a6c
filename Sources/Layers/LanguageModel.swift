public import JSON
public import Tensors
public import Weights

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
    /// On how many axes its tokens have positions: one, or three where those of images also have a row and a column.
    var positionAxes: Int { get }
    /// Columns of the vectors that images have in place of tokens; nil for a model that takes none.
    var featureWidth: Int? { get }
    /// What makes the vectors of images; nil for a model that only reads.
    var imageEncoder: (any ImageEncoder)? { get }
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
    public var positionAxes: Int { 1 }
    public var featureWidth: Int? { nil }
    public var imageEncoder: (any ImageEncoder)? { nil }
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

    /// Whether it answers to a configuration that no class name gives to another.
    static func claims(_ configuration: JSONValue) -> Bool

    static func build(_ config: Config, _ weights: Parameters) throws -> Model

    /// The configuration with what the family leaves out of its files, and with other files of the checkpoint that
    /// shape the model.
    static func completed(_ configuration: JSONValue, of checkpoint: any Checkpoint) throws -> JSONValue

    /// Checkpoints in folders of their own whose tensors belong to the model, by the name they are known under in it.
    static func companions(
        _ configuration: JSONValue, of checkpoint: any Checkpoint
    ) throws -> [String: any Checkpoint]

    /// Whether checkpoints may carry this tensor although the architecture has no use for it.
    static func ignores(_ tensor: String, _ config: Config) -> Bool
}

extension Architecture {
    public static var classNames: [String] { [] }

    public static func claims(_ configuration: JSONValue) -> Bool {
        configuration["model_type"]?.string.map { modelTypes.contains($0) } ?? false
    }

    public static func completed(_ configuration: JSONValue, of checkpoint: any Checkpoint) -> JSONValue {
        configuration
    }

    public static func companions(
        _ configuration: JSONValue, of checkpoint: any Checkpoint
    ) -> [String: any Checkpoint] { [:] }
}
