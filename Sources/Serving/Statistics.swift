import Synchronization

/// What an engine has done and is doing.
public struct EngineStatistics: Sendable, Equatable {
    public var totalSlots = 0
    /// Slots that no running request uses; some may hold cached prefixes.
    public var freeSlots = 0
    /// Slots that the running requests may come to use together.
    public var peakSlots = 0
    /// Requests that run, and that wait to; of these some were running before.
    public var running = 0
    public var waiting = 0
    public var paused = 0
    /// Prompt tokens that were computed.
    public var promptTokens = 0
    /// Tokens that were found in the cache and not computed.
    public var cachedTokens = 0
    /// How often a running request was interrupted for lack of memory.
    public var pauses = 0
    public var generatedTokens = 0
    public var finishedRequests = 0
    public var cancelledRequests = 0
    /// Requests whose constraint left no token to choose.
    public var failedRequests = 0
    /// Requests whose deadline was over before their turn came.
    public var expiredRequests = 0
    /// Why the engine computes nothing any more; nil while it works.
    public var failure: RequestError?
    public var steps = 0
    /// Seconds of steps that computed prompts, and of those that only went on with answers.
    public var prefillSteps = StepHistogram(StepHistogram.seconds)
    public var decodeSteps = StepHistogram(StepHistogram.seconds)
    /// Tokens of a step, of prompts and of answers.
    public var stepTokens = StepHistogram(StepHistogram.tokens)
    /// Requests whose prompts a step computes, where it computes any.
    public var promptsPerStep = StepHistogram(StepHistogram.requests)
    /// When the last step ended, or the engine began to have something to do.
    public var lastProgress = ContinuousClock.now

    public init() {}

    public var usedSlots: Int { totalSlots - freeSlots }

    /// How long a step has been running by `now`; nil when nothing is to be done.
    public func stall(at now: ContinuousClock.Instant) -> Duration? {
        running + waiting > 0 ? now - lastProgress : nil
    }
}

/// Statistics as the engine's thread last published them. A failure, whoever notes it, is final.
final class PublishedStatistics: Sendable {
    private let state: Mutex<EngineStatistics>

    init(slots: Int) {
        var statistics = EngineStatistics()
        (statistics.totalSlots, statistics.freeSlots) = (slots, slots)
        state = Mutex(statistics)
    }

    var current: EngineStatistics { state.withLock { $0 } }

    var failure: RequestError? { state.withLock { $0.failure } }

    func publish(_ statistics: EngineStatistics) {
        state.withLock { state in
            let failure = state.failure
            state = statistics
            state.failure = failure ?? state.failure
        }
    }

    func fail(_ failure: RequestError) { state.withLock { $0.failure = $0.failure ?? failure } }
}

/// How often a quantity of steps fell at or below each bound.
public struct StepHistogram: Sendable, Equatable {
    /// The upper ends of what `counts` counts, ascending.
    public let bounds: [Double]
    /// How many values fell between each bound and the one before; larger ones are only in `count`.
    public private(set) var counts: [Int]
    public private(set) var count = 0
    public private(set) var sum = 0.0

    init(_ bounds: [Double]) {
        self.bounds = bounds
        counts = Array(repeating: 0, count: bounds.count)
    }

    mutating func add(_ value: Double) {
        if let index = bounds.firstIndex(where: { value <= $0 }) { counts[index] += 1 }
        (count, sum) = (count + 1, sum + value)
    }

    /// Seconds, each bound one and a half times the one before.
    static let seconds: [Double] = {
        var bound = 0.001
        return (1...35).map { _ in
            bound *= 1.5
            return bound
        }
    }()

    /// Tokens of a step, as vLLM cuts them.
    static let tokens = [1] + (3...14).map { Double(1 << $0) }

    /// Requests of a batch, as LightLLM cuts them.
    static let requests = (1...128).map(Double.init)
}
