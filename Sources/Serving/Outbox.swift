import Dispatch

/// What a step made of a request, on its way to whoever asked for it.
struct Delivery: Sendable {
    let events: AsyncStream<GenerationEvent>.Continuation
    let cachedTokens: Int?
    let promptScores: [ScoredToken]?
    let logits: [Float]?
    let token: ScoredToken?
    let finish: FinishReason?

    fileprivate func send() {
        if let cachedTokens { events.yield(.started(cachedTokens: cachedTokens)) }
        if let promptScores { events.yield(.prompt(promptScores)) }
        if let logits { events.yield(.logits(logits)) }
        if let token { events.yield(.token(token, finish: finish)) }
        if finish != nil { events.finish() }
    }
}

/// Sends the events of each step while the next one runs, in order: waking hundreds of tasks takes a while.
struct Outbox {
    private let queue = DispatchQueue(label: "lightllm-events")

    func send(_ deliveries: [Delivery]) {
        queue.async { for delivery in deliveries { delivery.send() } }
    }

    /// Ends the streams with an error, once everything before has been sent.
    func fail(_ streams: [AsyncStream<GenerationEvent>.Continuation], _ error: RequestError) {
        queue.async {
            for stream in streams {
                stream.yield(.failed(error))
                stream.finish()
            }
        }
    }

    /// Ends the streams, once everything before has been sent.
    func finish(_ streams: [AsyncStream<GenerationEvent>.Continuation]) {
        queue.async { for stream in streams { stream.finish() } }
    }
}
