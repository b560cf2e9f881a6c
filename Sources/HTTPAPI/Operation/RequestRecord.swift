import Foundation
import Serving
import Synchronization
import TextGeneration

/// What is known of a request besides its texts, for the log and for traces.
final class RequestRecord: Sendable {
    /// One of a request's answers. Times are those at which events were taken from the engine.
    struct Answer: Sendable {
        var promptTokens: Int
        var cachedTokens = 0
        var tokens = 0
        var begin: ContinuousClock.Instant?
        var firstToken: ContinuousClock.Instant?
        var lastToken: ContinuousClock.Instant?
        var finish: FinishReason?
    }

    struct State: Sendable {
        var answers: [Answer] = []
        /// The client's, cleaned, or a new one.
        var id: String
        var session: String?
    }

    let arrival = ContinuousClock.now
    let date = Date()
    private let current: Mutex<State>

    init() { current = Mutex(State(id: UUID().uuidString.lowercased())) }

    var state: State { current.withLock { $0 } }

    /// Takes over what the client calls the request and its session, if that can be repeated safely.
    func identify(request: String?, session: String?) {
        current.withLock {
            if let request, Self.isHarmless(request) { $0.id = request }
            if let session, Self.isHarmless(session) { $0.session = session }
        }
    }

    private static func isHarmless(_ text: String) -> Bool {
        (1...256).contains(text.utf8.count) && text.utf8.allSatisfy { (0x21...0x7E).contains($0) }
    }

    /// The stream, whose events are noted as they are taken from it.
    func observing(_ stream: TextStream) -> TextStream {
        let index = current.withLock {
            $0.answers.append(Answer(promptTokens: stream.promptTokens.count))
            return $0.answers.count - 1
        }
        return stream.observed { [self] event in
            let now = ContinuousClock.now
            current.withLock { $0.answers[index].note(event, at: now) }
        }
    }
}

extension RequestRecord.Answer {
    fileprivate mutating func note(_ event: TextEvent, at now: ContinuousClock.Instant) {
        switch event {
        case .started(let count): (begin, cachedTokens) = (now, count)
        case .chunk(let chunk):
            tokens += 1
            if firstToken == nil { firstToken = now }
            (lastToken, finish) = (now, chunk.finish)
        case .prompt, .failed: break
        }
    }
}

extension RequestRecord.State {
    /// Tokens of the prompt, and of all answers.
    var promptTokens: Int { answers.first?.promptTokens ?? 0 }
    var cachedTokens: Int { answers.first?.cachedTokens ?? 0 }
    var tokens: Int { answers.reduce(0) { $0 + $1.tokens } }
    var begin: ContinuousClock.Instant? { answers.compactMap(\.begin).min() }
    var firstToken: ContinuousClock.Instant? { answers.compactMap(\.firstToken).min() }
    var lastToken: ContinuousClock.Instant? { answers.compactMap(\.lastToken).max() }
}
