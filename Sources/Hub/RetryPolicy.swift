/// How failures that may pass are met: with more attempts, each after a longer pause.
public struct RetryPolicy: Sendable {
    /// Attempts in a row that bring nothing, after which one gives up.
    public var attempts = 6
    /// The first pause; each one after it is twice as long.
    public var firstPause = Duration.seconds(1)
    /// The longest pause, also where a server asks for more.
    public var longestPause = Duration.seconds(120)

    public init() {}
}

/// A failure that may pass: the connection broke, or the server is busy.
struct PassingFailure: Error {
    let reason: String
    /// How long the server asks to be left alone.
    var retryAfter: Duration?
}

/// The attempts of one request.
struct RetrySchedule {
    private let policy: RetryPolicy
    private(set) var failures = 0

    init(_ policy: RetryPolicy) { self.policy = policy }

    /// How long to wait after another failure; nil to give up.
    mutating func pause(after failure: PassingFailure) -> Duration? {
        failures += 1
        guard failures < policy.attempts else { return nil }
        let doubled = policy.firstPause * (1 << min(failures - 1, 20))
        return min(policy.longestPause, max(doubled, failure.retryAfter ?? .zero))
    }

    /// Something came: what follows counts anew.
    mutating func succeed() { failures = 0 }
}
