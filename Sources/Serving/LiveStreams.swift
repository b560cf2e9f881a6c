import Synchronization

/// The streams of requests that have not ended. A failure ends them all, whatever the engine's thread waits for.
final class LiveStreams: Sendable {
    private typealias Continuation = AsyncStream<GenerationEvent>.Continuation

    private struct State {
        var streams: [UInt64: Continuation] = [:]
        var failure: RequestError?
    }

    private let state = Mutex(State())

    /// Adds a stream, which ends at once if there was a failure.
    func add(_ id: UInt64, _ stream: AsyncStream<GenerationEvent>.Continuation) {
        let failure = state.withLock { state in
            if state.failure == nil { state.streams[id] = stream }
            return state.failure
        }
        if let failure { Self.end([stream], failure) }
    }

    func remove(_ id: UInt64) { state.withLock { $0.streams[id] = nil } }

    /// Ends all streams, and those that are added later, with an error.
    func fail(_ failure: RequestError) {
        let streams = state.withLock { state in
            state.failure = failure
            defer { state.streams = [:] }
            return Array(state.streams.values)
        }
        // Whoever ends a stream comes back to remove it.
        Self.end(streams, failure)
    }

    private static func end(_ streams: [Continuation], _ failure: RequestError) {
        for stream in streams {
            stream.yield(.failed(failure))
            stream.finish()
        }
    }
}
