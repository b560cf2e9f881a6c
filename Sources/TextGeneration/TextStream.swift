import Serving
import Synchronization
import Tokenizers

/// An answer as it is generated. Iterate once. The request ends with `cancel()`, or when the iterator goes, at
/// the latest with the function that loops.
public struct TextStream: AsyncSequence, Sendable {
    public typealias Element = TextEvent
    /// The prompt as the model sees it.
    public let promptTokens: [Int32]
    /// Tokens that the prompt was shortened by.
    public let truncatedTokens: Int
    /// The most tokens that the answer may have.
    public let maxNewTokens: Int
    private let source: Source
    private var observer: (@Sendable (TextEvent) -> Void)?

    /// Gives the engine's events away to the one iterator, so that dropping it cancels the request.
    private final class Source: Sendable {
        let events: Mutex<GenerationStream?>
        let end: @Sendable () -> Void
        let request: TextRequest
        let generator: TextGenerator

        init(_ events: GenerationStream, _ request: TextRequest, _ generator: TextGenerator) {
            self.events = Mutex(events)
            end = events.cancel
            (self.request, self.generator) = (request, generator)
        }
    }

    init(
        _ events: GenerationStream, promptTokens: [Int32], truncatedTokens: Int, _ request: TextRequest,
        _ generator: TextGenerator
    ) {
        (source, self.promptTokens) = (Source(events, request, generator), promptTokens)
        self.truncatedTokens = truncatedTokens
        maxNewTokens = request.maxNewTokens
    }

    /// Ends the request.
    public func cancel() { source.end() }

    public func makeAsyncIterator() -> Iterator {
        let events = source.events.withLock { events in
            defer { events = nil }
            return events
        }
        return Iterator(events, source.request, source.generator, observer)
    }

    /// The same stream; `observer` sees every event that is taken from it.
    public func observed(by observer: @escaping @Sendable (TextEvent) -> Void) -> TextStream {
        var stream = self
        stream.observer = observer
        return stream
    }

    public struct Iterator: AsyncIteratorProtocol {
        private var events: GenerationStream.AsyncIterator?
        private var text: AnswerText
        private let lease: Lease?
        private let observer: (@Sendable (TextEvent) -> Void)?

        init(
            _ events: GenerationStream?, _ request: TextRequest, _ generator: TextGenerator,
            _ observer: (@Sendable (TextEvent) -> Void)?
        ) {
            self.observer = observer
            (self.events, text) = (events?.makeAsyncIterator(), AnswerText(request, generator))
            lease = events.map { Lease($0.cancel) }
        }

        /// Ends the request when the iterator goes, whoever keeps the stream.
        private final class Lease: Sendable {
            let end: @Sendable () -> Void
            init(_ end: @escaping @Sendable () -> Void) { self.end = end }
            deinit { end() }
        }

        public mutating func next() async -> TextEvent? { await next(isolation: nil) }

        public mutating func next(isolation actor: isolated (any Actor)?) async -> TextEvent? {
            let event = await nextEvent(isolation: actor)
            if let event { observer?(event) }
            return event
        }

        private mutating func nextEvent(isolation actor: isolated (any Actor)?) async -> TextEvent? {
            while true {
                switch await events?.next(isolation: actor) {
                case nil: return nil
                case .started(let count): return .started(cachedTokens: count)
                case .prompt(let tokens): return .prompt(tokens)
                case .logits: continue
                case .failed(let error): return .failed(error)
                case .token(let token, let finish):
                    let chunk = text.append(token, finish)
                    // A stop text ends the answer before the engine knows.
                    if chunk.finish != nil {
                        events = nil
                        lease?.end()
                    }
                    return .chunk(chunk)
                }
            }
        }
    }
}

/// Turns an answer's tokens into its text.
struct AnswerText {
    private let style: Detokenization
    private let tokenizer: Tokenizer
    private let endTokens: Set<Int32>
    private let markers: Set<Int32>
    private let stopTexts: [String]
    private var decoder: StreamingDecoder
    private var stops: StopMatcher
    private var hasText = false
    private var lastWasSpecial = false

    init(_ request: TextRequest, _ generator: TextGenerator) {
        (style, tokenizer) = (request.detokenization, generator.tokenizer)
        (endTokens, markers) = (generator.endTokens, generator.markers)
        decoder = tokenizer.makeStreamingDecoder(
            skipsSpecialTokens: false, continuing: request.detokenization.continuesText)
        stopTexts = request.stopTexts
        stops = StopMatcher(request.stopTexts, keepsStop: request.keepsStopText)
    }

    mutating func append(_ token: ScoredToken, _ finish: FinishReason?) -> TextChunk {
        let isSpecial = tokenizer.isSpecial(token.token)
        let isEnd = endTokens.contains(token.token)
        let isMarker = style.showsMarkers && markers.contains(token.token)
        let isHidden = isEnd ? !style.showsEndToken : isSpecial && style.skipsSpecialTokens && !isMarker
        let decoded = isHidden ? "" : spaced(decoder.append(token.token), isSpecial: isSpecial)
        var (text, stop) = stops.append(decoded)
        guard stop == nil, let finish else {
            return TextChunk(
                token: token, text: text, isSpecial: isSpecial, finish: stop == nil ? nil : .stop, stop: stop)
        }
        text += stops.finish()
        if finish == .stop { stop = stopToken(token.token) }
        return TextChunk(token: token, text: text, isSpecial: isSpecial, finish: finish, stop: stop)
    }

    /// The stop text that is this special token.
    private func stopToken(_ token: Int32) -> String? {
        let name = tokenizer.isSpecial(token) ? tokenizer.token(token) : nil
        return stopTexts.first { $0 == name }
    }

    private mutating func spaced(_ text: String, isSpecial: Bool) -> String {
        guard !text.isEmpty else { return text }
        defer { (hasText, lastWasSpecial) = (true, isSpecial) }
        let isBoundary = hasText && (isSpecial || lastWasSpecial)
        return style.spacesAroundSpecialTokens && isBoundary ? " " + text : text
    }
}
