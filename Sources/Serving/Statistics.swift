/// What an engine has done and is doing.
public struct EngineStatistics: Sendable, Equatable {
    public var totalSlots = 0
    /// Slots that no running request uses; some may hold cached prefixes.
    public var freeSlots = 0
    /// Requests that run, and that wait to.
    public var running = 0
    public var waiting = 0
    /// Prompt tokens that were computed.
    public var promptTokens = 0
    /// Tokens that were found in the cache and not computed.
    public var cachedTokens = 0
    /// How often a running request was interrupted for lack of memory.
    public var pauses = 0
    public var generatedTokens = 0
    public var finishedRequests = 0
    public var cancelledRequests = 0
    /// Requests whose deadline was over before their turn came.
    public var expiredRequests = 0
    public var steps = 0

    public init() {}

    public var usedSlots: Int { totalSlots - freeSlots }
}
