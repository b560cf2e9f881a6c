import HTTPTypes
import Hummingbird
public import Serving
import ServiceLifecycle
import Synchronization

/// The requests being answered, and whether new ones are taken.
final class Traffic: Sendable {
    private struct State {
        var requests = 0
        var isDraining = false
    }

    private let state = Mutex(State())

    func begin() { state.withLock { $0.requests += 1 } }
    func end() { state.withLock { $0.requests -= 1 } }

    /// Whether the server is about to stop.
    var isDraining: Bool { state.withLock { $0.isDraining } }
    var requests: Int { state.withLock { $0.requests } }

    func drain() { state.withLock { $0.isDraining = true } }
}

/// Once the server is asked to stop: says that it is not ready, refuses new work, waits for what runs, and ends what
/// is left when the time is over.
struct Drain: Service {
    let traffic: Traffic
    let engine: Engine
    let timeout: Duration

    func run() async throws {
        // Also when there is no time: whoever waits for an answer must learn that none comes.
        defer { engine.stop() }
        try await gracefulShutdown()
        traffic.drain()
        let end = ContinuousClock.now + timeout
        while traffic.requests > 0, ContinuousClock.now < end {
            try await Task.sleep(for: .milliseconds(20))
        }
    }
}

/// Refuses new work while the server drains. What is only asked about it is still answered.
struct DrainRefusal: RouterMiddleware {
    let traffic: Traffic

    func handle(
        _ request: Request, context: ServerContext, next: (Request, ServerContext) async throws -> Response
    ) async throws -> Response {
        let isQuestion = request.method != .post || Authentication.openPaths.contains(request.uri.path)
        guard traffic.isDraining, !isQuestion else { return try await next(request, context) }
        var error = APIError(status: .serviceUnavailable, message: "the server is stopping")
        error.retryAfter = 1
        var response = error.response(ErrorStyle(path: request.uri.path))
        response.headers[.connection] = "close"
        return response
    }
}

/// Waits; true when the server is asked to stop meanwhile.
func pause(_ duration: Duration) async -> Bool {
    do {
        try await cancelWhenGracefulShutdown { try await Task.sleep(for: duration) }
        return false
    } catch { return true }
}

/// Why a server ends that was not asked to, or was asked twice.
public enum ServerFailure: Error, CustomStringConvertible {
    case interrupted
    case stalled(Duration)
    case engine(RequestError)

    public var description: String {
        switch self {
        case .interrupted: "stopped at once, as asked twice"
        case .engine(let failure): "\(failure)"
        case .stalled(let duration): "no step has ended for \(Int(duration / .seconds(1))) s"
        }
    }
}

/// Ends the server when its engine has failed, once those who waited for it know.
struct FailureMonitor {
    let engine: Engine
    let grace = Duration.seconds(1)

    func run() async throws {
        while engine.statistics.failure == nil { try await Task.sleep(for: .milliseconds(100)) }
        try await Task.sleep(for: grace)
        if let failure = engine.statistics.failure { throw ServerFailure.engine(failure) }
    }
}

/// Ends the server when its engine makes no progress, so that whoever started the process can start another.
struct HealthMonitor: Service {
    let engine: Engine
    let stallTimeout: Duration
    let interval: Duration
    /// Checks in a row that must find the engine stalled.
    let failures = 3

    func run() async throws {
        var found = 0
        while true {
            let isOver = await pause(interval)
            guard !isOver else { return }
            // What has failed does not recover.
            if let failure = engine.statistics.failure { throw ServerFailure.engine(failure) }
            let stall = engine.statistics.stall(at: .now) ?? .zero
            found = stall > stallTimeout ? found + 1 : 0
            if found >= failures { throw ServerFailure.stalled(stall) }
        }
    }
}
