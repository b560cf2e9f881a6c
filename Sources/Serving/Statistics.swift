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
    public var steps = 0
    /// Steps that computed prompts, and those that only went on with answers.
    public var prefillSteps = StepDurations()
    public var decodeSteps = StepDurations()
    /// When the last step ended, or the engine began to have something to do.
    public var lastProgress = ContinuousClock.now

    public init() {}

    public var usedSlots: Int { totalSlots - freeSlots }

    /// How long a step has been running by `now`; nil when nothing is to be done.
    public func stall(at now: ContinuousClock.Instant) -> Duration? {
        running + waiting > 0 ? now - lastProgress : nil
    }
}

/// How long steps took.
public struct StepDurations: Sendable, Equatable {
    /// Seconds, the upper ends of what `counts` counts: each one and a half times the one before.
    public static let bounds: [Double] = {
        var bound = 0.001
        return (1...35).map { _ in
            bound *= 1.5
            return bound
        }
    }()

    /// How many steps fell between each bound and the one before; longer ones are only in `count`.
    public private(set) var counts = [Int](repeating: 0, count: bounds.count)
    public private(set) var count = 0
    public private(set) var seconds = 0.0

    public init() {}

    mutating func add(_ duration: Duration) {
        let value = duration / .seconds(1)
        if let index = Self.bounds.firstIndex(where: { value <= $0 }) { counts[index] += 1 }
        (count, seconds) = (count + 1, seconds + value)
    }
}
