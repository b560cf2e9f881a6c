import Foundation
import JSON
public import Layers
public import Tensors
public import Weights

/// Every architecture this build can run. Adding one is adding its file and a line here.
public let architectures: [any Architecture.Type] = visionArchitectures + textArchitectures

/// Those that read images, and hold one of the others for text.
let visionArchitectures: [any Architecture.Type] = [
    LLaVA.self, QwenVL.self, Qwen2VL.self, InternVL.self,
]

let textArchitectures: [any Architecture.Type] = [
    Llama.self, Qwen2.self, Qwen3.self, Mixtral.self, Qwen2MoE.self, Qwen3MoE.self, DeepseekV2.self,
    Gemma.self, Gemma2.self, Phi3.self, Phi3Small.self, InternLM.self, InternLM2.self, MiniCPM.self,
    StableLM.self,
    Cohere.self, ChatGLM2.self, Qwen.self, Bloom.self, StarCoder.self, StarCoder2.self,
    InternLM2Reward.self, Qwen2Reward.self,
]

/// How a model looks at images.
public struct ImageUse: Sendable {
    /// Where it does.
    public let backend: any Backend
    /// The most tokens of an image, where the model can choose.
    public let mostTokens: Int?

    public init(backend: any Backend, mostTokens: Int? = nil) {
        (self.backend, self.mostTokens) = (backend, mostTokens)
    }
}

/// Builds the model that a checkpoint's config.json asks for, with every tensor accounted for; projections are
/// kept as `storage` says, or as the checkpoint has them. Only the part of the weights that falls to this member of
/// `group` is kept. With `images` a model that has a part that sees looks at images; without, it only reads.
///
/// Throws `ConfigError`, `RotaryError`, `CheckpointError` or `SplitError`, each naming what it expected and found.
public func buildModel(
    _ checkpoint: any Checkpoint, on backend: any Backend, storage: WeightStorage? = nil,
    head: ModelHead = .ofCheckpoint, images: ImageUse? = nil,
    group: any Communicator = SingleCommunicator()
) throws -> any LanguageModel {
    let className = checkpoint.configuration["architectures"]?.array?.first?.string
    guard
        let architecture = architectures.first(where: { className.map($0.classNames.contains) ?? false })
            ?? architectures.first(where: { $0.claims(checkpoint.configuration) })
    else {
        throw ConfigError.unsupportedModelType(
            checkpoint.configuration["model_type"]?.string,
            supported: architectures.flatMap { $0.modelTypes })
    }
    return try architecture.load(checkpoint, on: backend, storage, head, images, group)
}

extension FeedForwardShares {
    /// Those of a model with this config, where it says how its layers are made and each has one network.
    fileprivate init(_ configuration: JSONValue, members: Int) throws(SplitError) {
        func size(_ key: String) -> Int? {
            configuration[key]?.int.flatMap { (1...1 << 24).contains($0) ? $0 : nil }
        }
        let experts = ["num_local_experts", "num_experts", "n_routed_experts"]
        guard members > 1, !experts.contains(where: { configuration[$0] != nil }),
            let query = size("num_attention_heads"), let width = size("hidden_size"),
            let inner = size("intermediate_size"),
            case let keyValue = size("num_key_value_heads") ?? query, query.isMultiple(of: keyValue)
        else {
            self.init(members: members)
            return
        }
        let heads = Heads(query: query, keyValue: keyValue, width: size("head_dim") ?? width / query)
        try self.init(members: members, heads: heads, width: width, inner: inner)
    }
}

extension Architecture {
    fileprivate static func load(
        _ checkpoint: any Checkpoint, on backend: any Backend, _ storage: WeightStorage?,
        _ head: ModelHead, _ images: ImageUse?, _ group: any Communicator
    ) throws -> any LanguageModel {
        var configuration = try completed(checkpoint.configuration, of: checkpoint)
        if let most = images?.mostTokens {
            configuration = configuration.completed(with: ["image_max_tokens": .integer(most)])
        }
        let config = try decodeConfig(configuration)
        let companions =
            images == nil ? [:] : try companions(checkpoint.configuration, of: checkpoint)
        let store = WeightStore(JoinedCheckpoint.join(checkpoint, companions), storage: storage)
        let model = try build(
            config,
            Parameters(
                WeightScope(store), backend: backend, head: head, imageBackend: images?.backend,
                group: group,
                feedForward: try FeedForwardShares(checkpoint.configuration, members: group.size)))
        try store.finish(ignoring: { ignores($0, config) })
        return model
    }

    private static func decodeConfig(_ json: JSONValue) throws -> Config {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        var bytes: [UInt8] = []
        json.write(to: &bytes)
        do {
            let config = try decoder.decode(Config.self, from: Data(bytes))
            try (config as? any ValidatedConfig)?.validate()
            return config
        } catch let error as DecodingError {
            throw ConfigError.malformed(error.summary)
        }
    }
}

extension DecodingError {
    /// One line: which key, and what was wrong with it.
    fileprivate var summary: String {
        func path(_ context: Context, _ last: (any CodingKey)? = nil) -> String {
            (context.codingPath + (last.map { [$0] } ?? [])).map(\.stringValue).joined(separator: ".")
        }
        return switch self {
        case .keyNotFound(let key, let context): "\(path(context, key)) is missing"
        case .valueNotFound(let type, let context): "\(path(context)) is null, expected \(type)"
        case .typeMismatch(let type, let context): "\(path(context)) is not of type \(type)"
        case .dataCorrupted(let context): "\(path(context)): \(context.debugDescription)"
        @unknown default: "\(self)"
        }
    }
}
