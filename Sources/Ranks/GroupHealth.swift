import Synchronization

/// Why a group of ranks cannot go on.
public enum GroupFailure: Error, Equatable, CustomStringConvertible {
    /// Its process ended, or nothing was heard of it for too long.
    case lost(rank: Int, String)
    /// It said something that makes no sense.
    case misunderstood(rank: Int, String)
    /// The library that exchanges numbers gave up.
    case exchange(String)
    /// The ranks did not come together.
    case rendezvous(String)

    public var description: String {
        switch self {
        case .lost(let rank, let reason): "rank \(rank) is gone: \(reason)"
        case .misunderstood(let rank, let reason): "rank \(rank) sent what cannot be: \(reason)"
        case .exchange(let reason): "ranks cannot exchange numbers: \(reason)"
        case .rendezvous(let reason): "the ranks did not come together: \(reason)"
        }
    }
}

/// Whether a group still works. The first failure counts, and is final: whoever waits for another rank looks here.
public final class GroupHealth: Sendable {
    private struct State {
        var failure: GroupFailure?
        var observers: [@Sendable (GroupFailure) -> Void] = []
    }

    private let isOver = Atomic<Bool>(false)
    private let state = Mutex(State())

    public init() {}

    /// Cheap enough to ask in a loop.
    public var hasFailed: Bool { isOver.load(ordering: .acquiring) }

    public var failure: GroupFailure? { state.withLock { $0.failure } }

    public func fail(_ failure: GroupFailure) {
        let observers = state.withLock { state -> [@Sendable (GroupFailure) -> Void] in
            guard state.failure == nil else { return [] }
            state.failure = failure
            defer { state.observers = [] }
            return state.observers
        }
        isOver.store(true, ordering: .releasing)
        for observer in observers { observer(failure) }
    }

    /// Calls `observer` once, when the group fails or if it has.
    public func onFailure(_ observer: @escaping @Sendable (GroupFailure) -> Void) {
        let failure = state.withLock { state -> GroupFailure? in
            if state.failure == nil { state.observers.append(observer) }
            return state.failure
        }
        if let failure { observer(failure) }
    }
}
