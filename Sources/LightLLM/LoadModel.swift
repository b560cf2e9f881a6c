import CPUBackend
import JSON
public import Layers
import Models
import Scheduling
public import Serving
public import Tensors
public import Weights

/// The backend of this machine; `threads` defaults to one per processor.
public func makeBackend(threads: Int? = nil) -> any Backend { CPUBackend(threads: threads) }

/// A checkpoint built into a model on a backend.
public struct LoadedModel: Sendable {
    public let checkpoint: any Checkpoint
    public let network: any LanguageModel
    public let backend: any Backend

    /// Opens the Hugging Face folder or GGUF file at `path`. Throws an error that names what was expected
    /// and found when anything about it is wrong.
    public init(path: String, threads: Int? = nil) throws {
        try self.init(checkpoint: openCheckpoint(path), backend: makeBackend(threads: threads))
    }

    public init(checkpoint: any Checkpoint, backend: any Backend) throws {
        (self.checkpoint, self.backend) = (checkpoint, backend)
        try MemoryBudget.ofMachine().requireRoom(forWeights: checkpoint.byteCount)
        network = try buildModel(checkpoint, on: backend)
    }

    /// The longest sequence the model was made for; nil when its config does not say.
    public var contextLength: Int? {
        let config = checkpoint.configuration
        let keys = ["max_position_embeddings", "max_sequence_length", "seq_length", "n_positions"]
        return keys.lazy.compactMap { config[$0]?.int }.first { $0 > 0 }
    }

    /// An engine that runs this model. Throws `EngineError` or `CacheMemoryError` when the memory does not hold
    /// what is asked for.
    public func makeEngine(_ options: EngineOptions = EngineOptions()) throws -> Engine {
        var options = options
        options.cacheElement = options.cacheElement ?? defaultCacheElement
        let longest = min(
            options.maxRequestTokens ?? min(contextLength ?? 2048, 16_384), network.longestSequence ?? .max)
        let (most, overflow) = longest.multipliedReportingOverflow(by: options.limits.runningSequences)
        let cap = overflow ? Int(Int32.max) : min(most, Int(Int32.max))
        let budget = MemoryBudget.ofMachine().slots(
            for: network, weightBytes: checkpoint.byteCount, options, most: cap)
        if let wanted = options.maxTotalTokens {
            var everything = options
            everything.memoryFraction = 1
            let most = MemoryBudget.ofMachine().slots(
                for: network, weightBytes: checkpoint.byteCount, everything, most: Int(Int32.max))
            guard wanted <= most else { throw EngineError.tooManySlots(wanted, most: most) }
        }
        let slots = options.maxTotalTokens ?? budget
        guard slots >= 2 else { throw EngineError.noMemory(slots: slots) }
        var configuration = EngineConfiguration(
            slots: slots, cacheElement: options.cacheElement ?? .float16, limits: options.limits,
            maxRequestTokens: longest)
        configuration.trace = options.trace
        return try Engine(model: network, backend: backend, configuration: configuration)
    }

    private var defaultCacheElement: CacheElement {
        let type =
            checkpoint.configuration["torch_dtype"]?.string ?? checkpoint.configuration["dtype"]?.string
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
            "the weights take \(bytes) bytes of memory; \(available) are free"
        }
    }
}
