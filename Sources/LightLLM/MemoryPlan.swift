import CPUBackend
import Foundation
import Images
import Layers
import Models
import Scheduling
import Serving
public import Tensors
public import Weights

/// What a model takes of the machine's memory, worked out before anything large is allocated: the model is built
/// and its largest steps are walked through with kernels that compute nothing, so every size is the real one.
public struct MemoryPlan: Sendable, Equatable {
    /// The part of the model that is counted.
    public let shard: Shard
    /// Bytes of packed weights.
    public let weights: Int
    /// Bytes of the results of a step's operations at the busiest moment, logits included.
    public let activations: Int
    /// Bytes that looking at images takes: weights, results and features that are kept.
    public let images: Int
    /// Bytes of one token in the key-value cache.
    public let bytesPerToken: Int
    /// Bytes that this process takes beside: code's data, vocabulary, threads. None of a GPU's memory.
    public let program: Int
    /// Bytes that can be had beside `program`; nil where the system does not say.
    public let available: Int?
    /// The part of `available` that may be taken.
    public let fraction: Double
    /// The most tokens that the engine's limits let be in use.
    public let mostTokens: Int
    /// The longest request.
    public let requestTokens: Int
    /// How many tokens fit.
    public private(set) var fittingTokens: Int
    /// Tokens of the cache: as many as were asked for, or as fit.
    public private(set) var tokens: Int

    /// Bytes of the cache.
    public var cache: Int { tokens * bytesPerToken }
    public var total: Int { program + weights + activations + images + cache }

    /// How many requests of `length` tokens fit at the same time.
    public func requests(ofLength length: Int) -> Int { tokens / max(length, 1) }

    /// Plans for the checkpoint of a Hugging Face folder or GGUF file, whose weights are not read. `available`
    /// replaces what the machine has.
    public init(
        _ checkpoint: any Checkpoint, _ options: EngineOptions, available: Int? = nil
    ) throws {
        let memory = options.device.memory
        try self.init(
            checkpoint, options, on: try options.device.idleBackend(threads: options.threads),
            available: available ?? memory.available, program: memory.program)
    }

    /// `backend` computes nothing. With `loaded`, on which the model is and has made its largest steps, `available` is what
    /// it and the images' backend have left.
    init(
        _ checkpoint: any Checkpoint, _ options: EngineOptions, on backend: any MeasuredBackend,
        available: Int?, program: Int, loaded: (any MeasuredBackend)? = nil
    ) throws {
        let imageBackend = CPUBackend(threads: options.threads, kernels: .idle)
        let network = try Self.rehearsed(
            checkpoint, options.weightFormat, options.head, options.shard, on: backend,
            images: options.images.map {
                ImageUse(backend: imageBackend, mostTokens: $0.mostTokens)
            })
        let element = options.cacheElement ?? checkpoint.defaultCacheElement
        let longest = min(
            options.maxRequestTokens ?? min(checkpoint.contextLength ?? 2048, 16_384),
            network.longestSequence ?? .max)
        try Rehearsal(network: network, backend: backend, longest: longest).run(options.limits)
        let measured = loaded ?? backend
        (weights, activations) = (measured.weightsInUse, measured.activationsInUse)
        bytesPerToken = network.cacheLayout.bytesPerToken(element)
        images = Self.imageBytes(network, options.images, imageBackend, available: available)
        let taken = loaded.map { $0.weightsInUse + $0.activationsInUse + imageBackend.weightsInUse } ?? 0
        self.available = available.map { $0 + taken }
        (self.program, fraction) = (program, options.memoryFraction)
        let (most, overflow) = longest.multipliedReportingOverflow(by: options.limits.runningSequences)
        mostTokens = overflow ? Int(Int32.max) : min(most, Int(Int32.max))
        requestTokens = longest
        let fixed = Double(weights + activations + images), perToken = Double(max(bytesPerToken, 1))
        let fraction = fraction
        fittingTokens =
            self.available.map {
                max(0, min(Int((Double($0) * fraction - fixed) / perToken), Int(Int32.max)))
            } ?? mostTokens
        shard = options.shard
        tokens = options.maxTotalTokens ?? min(fittingTokens, mostTokens)
    }

    /// The plan of the rank that takes the most, of `ranks` that share out the model, with as many tokens as there are on
    /// all of them. Parts of a model are not of one size, nor is it always the same one that is the largest.
    ///
    /// `available` is what one rank can have; without it, the ranks of a machine, which are `ranksOfHost`, share its
    /// memory, or have a GPU each.
    public static func largest(
        of ranks: Int, ranksOfHost: Int, _ checkpoint: any Checkpoint, _ options: EngineOptions,
        available: Int? = nil
    ) throws -> MemoryPlan {
        let memory = options.device.memory
        let share = options.device.isGPU ? 1 : ranksOfHost
        let plans = try (0..<ranks).map { rank in
            var options = options
            options.shard = Shard(index: rank, of: ranks)
            return try MemoryPlan(
                checkpoint, options, on: try options.device.idleBackend(threads: options.threads),
                available: available ?? memory.available.map { $0 / share }, program: memory.program)
        }
        let tokens = plans.map(\.tokens).min() ?? 0, fitting = plans.map(\.fittingTokens).min() ?? 0
        let together = plans.map { plan in
            var plan = plan
            (plan.tokens, plan.fittingTokens) = (tokens, fitting)
            return plan
        }
        return together.dropFirst().reduce(together[0]) { $1.total > $0.total ? $1 : $0 }
    }

    /// The model with weights of the right sizes and no values.
    private static func rehearsed(
        _ checkpoint: any Checkpoint, _ format: WeightFormat?, _ head: ModelHead, _ shard: Shard,
        on backend: any Backend, images: ImageUse? = nil
    ) throws -> any LanguageModel {
        try buildModel(
            checkpoint.layout, on: backend, storage: format.map { WeightStorage($0, work: .none) },
            head: head,
            images: images, group: PlannedCommunicator(shard))
    }

    /// Weights, the busiest moment with pixels and patches beside the backend's memory, and features.
    private static func imageBytes(
        _ network: any LanguageModel, _ options: ImageOptions?, _ backend: CPUBackend, available: Int?
    ) -> Int {
        guard let encoder = network.imageEncoder, let options else { return 0 }
        let images = encoder.rehearsal
        let features = encoder.encode(images)
        let pixels = 2 * 3 * ImageLimits().pixels + images.reduce(0) { $0 + 4 * 3 * $1.width * $1.height }
        let rows = options.limits(encoder, available: available).tokens
        let moment = features.reduce(0) { $0 + 2 * 4 * $1.rows * $1.columns }
        return backend.memoryUse.weights + backend.memoryUse.activations + pixels + moment
            + 4 * encoder.width * rows
    }

    /// Bytes of a shard's packed weights when projections are stored in `format`.
    static func weightBytes(
        _ checkpoint: any Checkpoint, _ format: WeightFormat?, _ head: ModelHead, _ shard: Shard
    ) throws -> Int {
        let backend = CPUBackend(threads: 1, kernels: .idle)
        return try withExtendedLifetime(rehearsed(checkpoint, format, head, shard, on: backend)) {
            backend.memoryUse.weights
        }
    }

    /// Throws when what is planned is more than there is, or than can work.
    public func requireFit() throws(EngineError) {
        if let available, weights + activations + images > available {
            throw .noRoomForWeights(weights + activations + images, available: available)
        }
        // What was asked for by number may take everything, and not only the fraction.
        let most = available.map { ($0 - weights - activations - images) / max(bytesPerToken, 1) } ?? .max
        guard tokens <= most else { throw .tooManySlots(tokens, most: most) }
        guard tokens >= 2 else { throw .noMemory(slots: tokens) }
    }
}

/// The largest steps that an engine of some limits can make, walked through on a backend that computes nothing; or on
/// one that does, so that it has all memory that it will need.
struct Rehearsal {
    let network: any LanguageModel
    let backend: any Backend
    let longest: Int
    /// What is computed means nothing, so positions share a few slots.
    private static let slots = 256

    func run(_ limits: SchedulerLimits, _ element: CacheElement = .float16) throws {
        let most = max(longest, limits.tokensPerStep)
        let cache = try backend.makeCache(network.cacheLayout, slots: Self.slots, element: element)
        // Everybody generates, and one prompt takes the rest of the step.
        let running = min(limits.runningSequences, limits.tokensPerStep)
        step(
            rows: Array(repeating: 1, count: running - 1) + [limits.tokensPerStep - running + 1], context: 1,
            cache)
        step(rows: [limits.tokensPerStep], context: most, cache)
        // Long contexts of few rows are computed in parts, be they of many sequences or of one.
        var few = 1
        while few <= limits.tokensPerStep {
            if few <= min(running, 64) {
                step(rows: Array(repeating: 1, count: few), context: longest, cache)
            }
            step(rows: [few], context: longest, cache)
            few *= 2
        }
    }

    /// One sequence for each number of `rows`, whose context is at least that long; the last row of each is sampled.
    private func step(rows: [Int], context: Int, _ cache: any KeyValueCache) {
        var (positions, newSlots, lengths, sampled): ([Int32], [Int32], [Int32], [Int32]) = ([], [], [], [])
        var sequences: [ForwardPass.Sequence] = []
        for count in rows {
            let length = max(count, context), first = positions.count
            let last = (network.longestSequence ?? .max) - 1
            for position in length - count..<length {
                positions.append(Int32(min(position, last)))
                newSlots.append(Int32(position % Self.slots))
                lengths.append(Int32(length))
            }
            sampled.append(Int32(positions.count - 1))
            sequences.append(
                ForwardPass.Sequence(
                    rows: first..<positions.count, contextSlots: (0..<length).map { Int32($0 % Self.slots) }))
        }
        let pass = ForwardPass(
            tokens: positions.map { _ in 0 }, positions: positions, lengths: lengths, newSlots: newSlots,
            sequences: sequences, sampledRows: sampled, cache: cache, backend: backend)
        let logits = network(pass)
        var answers: [LogitAnswer] = []
        backend.answer(sampled.indices.map { LogitQuery(row: $0) }, on: logits, into: &answers)
    }
}
