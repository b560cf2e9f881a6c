import JSON
internal import Layers
import OrderedCollections

/// A text architecture within a model that does more: its configuration, and how it is built.
public struct HeldModel: Decodable, Sendable {
    /// Columns of its token vectors.
    let width: Int
    private let make: @Sendable (Parameters) throws -> any LanguageModel
    private let ignored: @Sendable (String) -> Bool

    private enum Key: String, CodingKey { case modelType, hiddenSize }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: Key.self)
        let type = try container.decode(String.self, forKey: .modelType)
        guard let architecture = textArchitectures.first(where: { $0.modelTypes.contains(type) }) else {
            throw ConfigError.unsupportedModelType(
                type, supported: textArchitectures.flatMap { $0.modelTypes })
        }
        let width = try container.decode(Int.self, forKey: .hiddenSize)
        self = try architecture.held(decoder, width: width)
    }

    fileprivate init(
        width: Int, make: @escaping @Sendable (Parameters) throws -> any LanguageModel,
        ignored: @escaping @Sendable (String) -> Bool
    ) {
        (self.width, self.make, self.ignored) = (width, make, ignored)
    }

    func build(_ weights: Parameters) throws -> any LanguageModel { try make(weights) }

    /// Whether checkpoints of it may carry this tensor, named as in a checkpoint of its own, without a use for it.
    func ignores(_ tensor: String) -> Bool { ignored(tensor) }
}

extension Architecture {
    fileprivate static func held(_ decoder: any Decoder, width: Int) throws -> HeldModel {
        let config = try Config(from: decoder)
        try (config as? any ValidatedConfig)?.validate()
        return HeldModel(
            width: width, make: { try build(config, $0) }, ignored: { ignores($0, config) })
    }
}

extension JSONValue {
    /// The object with what `others` have, where it says nothing itself.
    func completed(with others: JSONValue) -> JSONValue {
        guard case .object(let own) = self, case .object(let theirs) = others else { return self }
        return .object(own.merging(theirs) { mine, _ in mine })
    }
}
