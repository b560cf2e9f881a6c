import JSON

/// A stream of completion chunks, timed as it comes. Only its last chunk is read: parsing every one would take the
/// processor from a server on the same machine.
struct AnswerRecord {
    private let sent: ContinuousClock.Instant
    private var lines = EventLines()
    private var arrivals: [ContinuousClock.Instant] = []
    private var last: [UInt8] = []
    private var isDone = false
    private static let done = Array("[DONE]".utf8)

    init(sent: ContinuousClock.Instant) { self.sent = sent }

    mutating func add(_ bytes: some Sequence<UInt8>, at now: ContinuousClock.Instant) {
        lines.add(bytes) { data in
            if data.elementsEqual(Self.done) {
                isDone = true
            } else {
                arrivals.append(now)
                last.replaceSubrange(last.indices, with: data)
            }
        }
    }

    /// The answer to `request`, once the stream has ended. Throws when it is not whole.
    func answer(to request: PlannedRequest) throws(LoadFailure) -> TimedAnswer {
        guard !last.isEmpty, let final = try? JSONValue(parsing: last) else {
            throw LoadFailure("the stream holds no chunks")
        }
        if let error = final["error"], !error.isNull { throw LoadFailure(error.serialized) }
        guard isDone else { throw LoadFailure("the stream broke off after \(arrivals.count) chunks") }
        let tokens = final["usage"]?["completion_tokens"]?.int
        if let tokens, tokens != request.newTokens {
            throw LoadFailure("expected \(request.newTokens) tokens, found \(tokens)")
        }
        // A chunk that only reports usage tells of no token's time.
        let text = final["choices"]?.array?.first?["text"]?.string ?? ""
        let times = text.isEmpty && tokens != nil ? arrivals.dropLast() : arrivals[...]
        guard let first = times.first, let end = times.last else { throw LoadFailure("no tokens came") }
        return TimedAnswer(
            promptTokens: request.prompt.count, tokens: request.newTokens, isVerified: tokens != nil,
            firstToken: (first - sent) / .seconds(1), latency: (end - sent) / .seconds(1),
            gaps: zip(times, times.dropFirst()).map { ($1 - $0) / .seconds(1) })
    }
}

/// The answer of LightLLM's `/generate`, which comes as one JSON object.
struct WholeAnswer {
    let sent: ContinuousClock.Instant
    let received: ContinuousClock.Instant

    /// Throws when `body` is no answer to `request`.
    func answer(_ body: [UInt8], to request: PlannedRequest) throws(LoadFailure) -> TimedAnswer {
        guard let json = try? JSONValue(parsing: body), json.object != nil else {
            throw LoadFailure("expected a JSON object, found \(body.count) other bytes")
        }
        if let error = json["error"] ?? json["message"], !error.isNull {
            throw LoadFailure(error.string ?? error.serialized)
        }
        let tokens = json["count_output_tokens"]?.int
        if let tokens, tokens != request.newTokens {
            throw LoadFailure("expected \(request.newTokens) tokens, found \(tokens)")
        }
        return TimedAnswer(
            promptTokens: request.prompt.count, tokens: request.newTokens, isVerified: tokens != nil,
            firstToken: nil, latency: (received - sent) / .seconds(1), gaps: [])
    }
}

/// An answer, and its times in seconds.
struct TimedAnswer: Sendable, Equatable {
    let promptTokens: Int
    let tokens: Int
    /// Whether the server said how many tokens it generated; if not, they are taken to be what was asked for.
    let isVerified: Bool
    /// From the request to the first chunk; nil where the answer came as one.
    let firstToken: Double?
    /// From the request to the last chunk.
    let latency: Double
    /// Between chunks. A server may put several tokens into one.
    let gaps: [Double]

    /// Per token after the first; nil for one token alone.
    var perToken: Double? {
        guard let firstToken, tokens > 1 else { return nil }
        return (latency - firstToken) / Double(tokens - 1)
    }
}

/// Why a request brought no answer, or not the one asked for.
struct LoadFailure: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}
