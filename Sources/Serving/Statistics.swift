/// What an engine has done and is doing.
public struct EngineStatistics: Sendable, Equatable {
    public var totalSlots = 0
    public var freeSlots = 0
    /// Requests that run, and that wait to.
    public var running = 0
    public var waiting = 0
    public var promptTokens = 0
    public var generatedTokens = 0
    public var finishedRequests = 0
    public var cancelledRequests = 0
    public var steps = 0

    public init() {}

    public var usedSlots: Int { totalSlots - freeSlots }
}
