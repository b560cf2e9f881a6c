import CPUBackend
public import CUDABackend
import JSON
public import Layers
import Models
import OrderedCollections
public import Ranks
import Scheduling
public import Serving
public import Tensors
public import Weights

/// A checkpoint built into a model on a backend.
public struct LoadedModel: Sendable {
    public let checkpoint: any Checkpoint
    public let network: any LanguageModel
    public let backend: any Backend
    /// How projections are stored; nil: as the checkpoint has them.
    private let weightFormat: WeightFormat?
    private let head: ModelHead
    /// Those who share out the model; nil when it is computed here alone.
    let group: RankGroup?
    private let images: ImageOptions?
    /// Of this process, and still to be had, when the model was about to be loaded.
    private let memory: (program: Int, available: Int?)

    /// Opens the Hugging Face folder or GGUF file at `path`. Throws an error that names what was expected
    /// and found when anything about it is wrong.
    public init(
        path: String, device: DeviceChoice = .auto, threads: Int? = nil,
        graphs: GraphLimits? = GraphLimits(), weightFormat: WeightFormat? = nil,
        head: ModelHead = .ofCheckpoint, images: ImageOptions? = nil, group: RankGroup? = nil
    ) throws {
        try self.init(
            checkpoint: openCheckpoint(path), device: device, threads: threads, graphs: graphs,
            weightFormat: weightFormat, head: head, images: images, group: group)
    }

    /// With `images` a model that has a part that sees looks at images, on a backend of its own. `graphs` says which steps
    /// a GPU replays as graphs.
    public init(
        checkpoint: any Checkpoint, device: DeviceChoice = .auto, threads: Int? = nil,
        graphs: GraphLimits? = GraphLimits(), weightFormat: WeightFormat? = nil,
        head: ModelHead = .ofCheckpoint, images: ImageOptions? = nil, group: RankGroup? = nil
    ) throws {
        try self.init(
            checkpoint: checkpoint,
            backend: makeBackend(
                device, threads: threads, index: group?.rankOfHost ?? 0, graphs: graphs),
            weightFormat: weightFormat, head: head, images: images,
            imageBackend: images == nil ? nil : makeBackend(device, threads: threads, graphs: nil),
            group: group)
    }

    public init(
        checkpoint: any Checkpoint, backend: any Backend, weightFormat: WeightFormat? = nil,
        head: ModelHead = .ofCheckpoint, images: ImageOptions? = nil,
        imageBackend: (any Backend)? = nil, group: RankGroup? = nil
    ) throws {
        (self.checkpoint, self.backend) = (checkpoint, backend)
        let group = try group?.exchanging(on: backend)
        self.group = group
        (self.weightFormat, self.head, self.images) = (weightFormat, head, images)
        let free = backend.freeMemory
        memory =
            free == nil
            ? (MachineMemory.ofProcess ?? 0, MachineMemory.available.map { $0 / (group?.ranksOfHost ?? 1) })
            : (0, free)
        // Nobody takes memory before all have looked what there is.
        try group?.waitForAll()
        let shard = group?.communicator.shard ?? .whole
        let size =
            weightFormat == nil && shard.isWhole
            ? checkpoint.byteCount : try MemoryPlan.weightBytes(checkpoint, weightFormat, head, shard)
        if let available = memory.available, size > available {
            throw EngineError.noRoomForWeights(size, available: available)
        }
        network = try buildModel(
            checkpoint, on: backend, storage: weightFormat.map { WeightStorage($0) }, head: head,
            images: images.map { ImageUse(backend: imageBackend ?? backend, mostTokens: $0.mostTokens) },
            group: group?.communicator ?? SingleCommunicator())
        if let failure = backend.failure ?? network.imageEncoder?.failure { throw failure }
        if head == .none, network.output != .hidden {
            throw EmbeddingError.scoresTexts(
                checkpoint.configuration["architectures"]?.array?.first?.string ?? "this")
        }
    }

    /// The longest sequence the model was made for; nil when its config does not say.
    public var contextLength: Int? { checkpoint.contextLength }

    /// An engine that runs this model. Throws `EngineError` or `CacheMemoryError` when the memory does not hold
    /// what is asked for. The weights stay in the format in which they were loaded.
    public func makeEngine(_ options: EngineOptions = EngineOptions()) throws -> Engine {
        let (plan, element) = try plan(options)
        let slots = try group.map { try $0.agree(on: plan.tokens, signature(element)) } ?? plan.tokens
        var configuration = EngineConfiguration(
            slots: slots, cacheElement: element, limits: options.limits, maxRequestTokens: plan.requestTokens)
        (configuration.policy, configuration.sharesPrefixes) = (options.policy, options.sharesPrefixes)
        configuration.trace = options.trace
        return try Engine(model: network, backend: backend, configuration: configuration, group: group)
    }

    /// Computes what rank 0 tells this one, until the group ends. Throws `GroupFailure` when it fails, and what
    /// `makeEngine` does. `options` are those of rank 0.
    public func follow(_ group: RankGroup, _ options: EngineOptions = EngineOptions()) throws {
        let (plan, element) = try plan(options)
        let slots = try group.agree(on: plan.tokens, signature(element))
        try RankFollower(model: network, backend: backend, group: group, slots: slots, element: element).run()
    }

    /// What ranks must have in common.
    private func signature(_ element: CacheElement) -> String {
        "\(checkpoint.configuration.serialized) \(checkpoint.tensorNames.sorted()) \(element) "
            + "\(weightFormat.map { "\($0)" } ?? "") \(head)"
    }

    /// The memory that an engine takes, and how its cache stores numbers.
    private func plan(_ options: EngineOptions) throws -> (MemoryPlan, CacheElement) {
        var options = options
        (options.weightFormat, options.head, options.images) = (weightFormat, head, images)
        options.shard = group?.communicator.shard ?? .whole
        if backend.freeMemory != nil {
            let longest = options.maxRequestTokens ?? min(contextLength ?? 2048, 16_384)
            try Rehearsal(network: network, backend: backend, longest: longest)
                .run(options.limits, options.cacheElement ?? checkpoint.defaultCacheElement)
            if let encoder = network.imageEncoder { _ = encoder.encode(encoder.rehearsal) }
            if let failure = backend.failure ?? network.imageEncoder?.failure { throw failure }
        }
        // What a device has taken by now is counted, and what is left.
        let left = backend.freeMemory
        let plan = try MemoryPlan(
            checkpoint, options, on: CPUBackend(threads: options.threads, kernels: .idle),
            available: left ?? memory.available, program: memory.program,
            loaded: left == nil ? nil : backend as? any MeasuredBackend)
        try plan.requireFit()
        return (plan, options.cacheElement ?? checkpoint.defaultCacheElement)
    }
}

extension LoadedModel {
    /// What looks at images for the model; nil for one that only reads.
    public func makeImageStage() -> ImageStage? {
        guard let encoder = network.imageEncoder, let images else { return nil }
        return ImageStage(
            encoder, images.limits(encoder, available: memory.available), firstToken: network.vocabularySize)
    }
}

extension Checkpoint {
    /// The configuration of the part that reads, where a model has others: its own keys, or else the model's.
    var textConfiguration: JSONValue {
        for key in ["text_config", "llm_config"] {
            if case .object(let part)? = configuration[key], case .object(let whole) = configuration {
                return .object(part.merging(whole) { mine, _ in mine })
            }
        }
        return configuration
    }

    /// The longest sequence the model was made for; nil when its config does not say.
    var contextLength: Int? {
        let keys = ["max_position_embeddings", "max_sequence_length", "seq_length", "n_positions"]
        return keys.lazy.compactMap { textConfiguration[$0]?.int }.first { $0 > 0 }
    }

    /// How the cache stores numbers unless something else is asked for.
    var defaultCacheElement: CacheElement {
        let type = textConfiguration["torch_dtype"]?.string ?? textConfiguration["dtype"]?.string
        return type == "float32" ? .float32 : .float16
    }
}

/// Why no engine can be made of a model.
public enum EngineError: Error, Equatable, CustomStringConvertible {
    case noMemory(slots: Int)
    case tooManySlots(Int, most: Int)
    case noRoomForWeights(Int, available: Int)

    public var description: String {
        switch self {
        case .noMemory(let slots):
            "the memory holds \(slots) tokens of key-value cache; expected at least 2. "
                + "Raise --mem_fraction, free memory, or take a smaller model."
        case .tooManySlots(let slots, let most):
            "a key-value cache of \(slots) tokens was asked for; the free memory holds \(most)"
        case .noRoomForWeights(let bytes, let available):
            "the weights and activations take \(bytes) bytes of memory; \(available) are free"
        }
    }
}
