import Dispatch
import Synchronization

/// What other threads ask of the engine's.
enum Command: Sendable {
    case submit(SequenceTicket)
    case cancel(UInt64)
    case stop
    /// The engine cannot go on.
    case fail(RequestError)
}

/// Carries commands to the engine's thread.
final class Mailbox: Sendable {
    /// Why nothing was posted.
    enum Refusal: Error { case closed, full }

    private struct State {
        var commands: [Command] = []
        var isClosed = false
        /// Requests among `commands`, and those that wait at the engine.
        var posted = 0
        var waiting = 0
    }

    private let state = Mutex(State())
    private let arrivals = DispatchSemaphore(value: 0)

    /// Posts `command`, unless the mailbox is closed.
    func post(_ command: Command) {
        state.withLock { state in
            if !state.isClosed { state.commands.append(command) }
        }
        arrivals.signal()
    }

    /// Posts all `tickets`, so that the engine takes them together; or none, when more than `limit` would wait.
    func submit(_ tickets: [SequenceTicket], limit: Int?) throws(Refusal) {
        let refusal = state.withLock { state -> Refusal? in
            if state.isClosed { return .closed }
            if let limit, state.posted + state.waiting + tickets.count > limit { return .full }
            state.commands += tickets.lazy.map { .submit($0) }
            state.posted += tickets.count
            return nil
        }
        if let refusal { throw refusal }
        arrivals.signal()
    }

    /// Notes that `count` of the requests that were taken wait.
    func noteWaiting(_ count: Int) { state.withLock { $0.waiting = count } }

    /// Everything posted since the last call, without waiting.
    func take() -> [Command] {
        state.withLock { state in
            defer { state.commands = [] }
            state.waiting += state.posted
            state.posted = 0
            return state.commands
        }
    }

    /// Takes what is left; nothing can be posted afterwards.
    func close() -> [Command] {
        state.withLock { state in
            state.isClosed = true
            defer { state.commands = [] }
            return state.commands
        }
    }

    /// Returns once something is there to take.
    func wait() {
        // Commands taken without waiting leave signals behind.
        while state.withLock({ $0.commands.isEmpty }) { arrivals.wait() }
    }
}

/// A request on its way to the engine's thread.
struct SequenceTicket: Sendable {
    let id: UInt64
    let request: GenerationRequest
    let events: AsyncStream<GenerationEvent>.Continuation
}
