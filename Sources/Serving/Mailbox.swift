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
    private let commands = Mutex<[Command]>([])
    private let arrivals = DispatchSemaphore(value: 0)

    func post(_ command: Command) {
        commands.withLock { $0.append(command) }
        arrivals.signal()
    }

    /// Everything posted since the last call, without waiting.
    func take() -> [Command] {
        commands.withLock { commands in
            defer { commands.removeAll(keepingCapacity: true) }
            return commands
        }
    }

    /// Returns once something may have been posted.
    func wait() { arrivals.wait() }
}

/// A request on its way to the engine's thread.
struct SequenceTicket: Sendable {
    let id: UInt64
    let request: GenerationRequest
    let events: AsyncStream<GenerationEvent>.Continuation
}
