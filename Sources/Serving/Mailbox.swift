import Dispatch
import Synchronization

/// What other threads ask of the engine's.
enum Command: Sendable {
    case submit(SequenceTicket)
    case cancel(UInt64)
    case stop
}

/// Carries commands to the engine's thread.
final class Mailbox: Sendable {
    private struct State {
        var commands: [Command] = []
        var isClosed = false
    }

    private let state = Mutex(State())
    private let arrivals = DispatchSemaphore(value: 0)

    /// False, and nothing posted, once the mailbox is closed.
    @discardableResult
    func post(_ command: Command) -> Bool { post(CollectionOfOne(command)) }

    /// Posts all `commands`, so that the engine takes them together.
    func post(_ commands: some Collection<Command>) -> Bool {
        let isPosted = state.withLock { state in
            if !state.isClosed { state.commands += commands }
            return !state.isClosed
        }
        if isPosted { arrivals.signal() }
        return isPosted
    }

    /// Everything posted since the last call, without waiting.
    func take() -> [Command] {
        state.withLock { state in
            defer { state.commands = [] }
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
