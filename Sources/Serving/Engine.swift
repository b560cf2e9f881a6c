import Foundation
public import Layers
public import Ranks
import Scheduling
import Synchronization
public import Tensors

/// Runs a model for many requests at once, on a thread of its own.
///
/// Requests may come from anywhere; each gets a stream of events. Dropping the stream cancels the request,
/// and its cache slots are free before the next step begins.
public final class Engine: Sendable {
    public let configuration: EngineConfiguration
    public let vocabularySize: Int
    /// What the model says.
    let output: ModelOutput
    /// Of how many numbers that is for one token.
    public let outputWidth: Int
    private let takesImages: Bool
    private let mailbox = Mailbox()
    private let nextID = Atomic<UInt64>(0)
    private let isStopped = Atomic<Bool>(false)
    private let thread = ThreadState()
    private let published: PublishedStatistics
    private let streams = LiveStreams()

    /// Allocates the cache and starts the thread. The other ranks of `group` are told every step.
    public init(
        model: any LanguageModel, backend: any Backend, configuration: EngineConfiguration,
        group: RankGroup? = nil
    ) throws(CacheMemoryError) {
        (self.configuration, vocabularySize) = (configuration, model.vocabularySize)
        (output, outputWidth) = (model.output, model.outputWidth)
        takesImages = model.imageEncoder != nil
        published = PublishedStatistics(slots: configuration.slots)
        let cache = try backend.makeCache(
            model.cacheLayout, slots: configuration.slots, element: configuration.cacheElement)
        let (mailbox, published, limits) = (mailbox, published, configuration.limits)
        let (trace, policy) = (configuration.trace, configuration.policy)
        let sharesPrefixes = configuration.sharesPrefixes
        let order = configuration.stepOrder ?? (backend.worksBehind ? .overlapped : .oneAfterTheOther)
        let thread = Thread { [state = self.thread] in
            let pool = SlotPool(capacity: cache.slots)
            var loop = EngineLoop(
                model: model, backend: backend, cache: cache,
                scheduler: Scheduler(
                    pool: pool, limits: limits, policy: policy, sharesPrefixes: sharesPrefixes),
                mailbox: mailbox, published: published, trace: trace, group: group, order: order)
            loop.run()
            state.hasEnded.store(true, ordering: .releasing)
        }
        thread.name = "lightllm-engine"
        thread.stackSize = 8 << 20
        thread.start()
        // The thread may wait for the rank that is gone. Those who wait for it are told at once.
        group?.health.onFailure { [streams] in
            let failure = RequestError.engineFailed("\($0)")
            mailbox.post(.fail(failure))
            published.fail(failure)
            streams.fail(failure)
        }
    }

    /// Whether the model says how good a text is, and not how it goes on.
    public var scoresTexts: Bool { output == .score }

    /// Whether the model turns texts into vectors, which have `outputWidth` numbers.
    public var embedsTexts: Bool { output == .hidden }

    deinit { mailbox.post(.stop) }

    /// Queues `request` and returns its events. Throws when it could never run, or too many wait.
    public func submit(_ request: GenerationRequest) throws(RequestError) -> GenerationStream {
        try validate(request)
        let (ticket, stream) = ticket(request)
        try post([ticket])
        return stream
    }

    /// Queues `requests` together: the first step that sees one of them sees all. Throws when one of them
    /// could never run, or too many wait; then none does.
    public func submit(_ requests: [GenerationRequest]) throws(RequestError) -> [GenerationStream] {
        for request in requests { try validate(request) }
        let tickets = requests.map(ticket)
        try post(tickets.map(\.ticket))
        return tickets.map(\.stream)
    }

    private func post(_ tickets: [SequenceTicket]) throws(RequestError) {
        let limit = configuration.limits.waitingSequences
        do throws(Mailbox.Refusal) {
            try mailbox.submit(tickets, limit: limit)
        } catch {
            throw error == .closed ? statistics.failure ?? .engineStopped : .queueFull(limit: limit ?? 0)
        }
    }

    private func ticket(_ request: GenerationRequest) -> (ticket: SequenceTicket, stream: GenerationStream) {
        let id = nextID.add(1, ordering: .relaxed).newValue
        let (stream, continuation) = AsyncStream.makeStream(of: GenerationEvent.self)
        // Whoever ends the stream; the engine ignores requests that it has finished itself.
        continuation.onTermination = { [mailbox, streams] _ in
            streams.remove(id)
            mailbox.post(.cancel(id))
        }
        streams.add(id, continuation)
        return (
            SequenceTicket(id: id, request: request, events: continuation),
            GenerationStream(events: stream) { continuation.finish() }
        )
    }

    /// Whether `submit` would take the request.
    public func validate(_ request: GenerationRequest) throws(RequestError) {
        guard !isStopped.load(ordering: .relaxed) else { throw .engineStopped }
        if let failure = published.failure { throw failure }
        guard !request.prompt.isEmpty else { throw .emptyPrompt }
        switch output {
        case .logits: guard request.pooling == nil else { throw .wrongKind(generates: true) }
        case .score: guard request.asksForScore else { throw .wrongKind(generates: false) }
        case .hidden: guard request.pooling != nil else { throw .embedsOnly }
        }
        guard request.maxNewTokens >= 1 else { throw .nothingToGenerate(request.maxNewTokens) }
        try validateTokens(request)
        if let stray = request.sampling.logitBias.keys.first(where: { Int($0) >= vocabularySize || $0 < 0 }) {
            throw .biasOutOfRange(stray, vocabulary: vocabularySize)
        }
        let most = configuration.longestRequest
        guard request.maxNewTokens <= most, request.prompt.count <= most - request.maxNewTokens else {
            throw .tooLong(prompt: request.prompt.count, newTokens: request.maxNewTokens, most: most)
        }
    }

    /// Tokens are of the vocabulary, or of the images.
    private func validateTokens(_ request: GenerationRequest) throws(RequestError) {
        guard request.images.isEmpty || takesImages else { throw .imagesNotTaken }
        var place = 0
        for image in request.images {
            let range = image.range
            guard range.lowerBound >= place, range.upperBound <= request.prompt.count,
                request.prompt[range].elementsEqual(image.image.tokens)
            else {
                throw .misplacedImage(at: image.start)
            }
            try validateText(request.prompt[place..<range.lowerBound])
            place = range.upperBound
        }
        try validateText(request.prompt[place...])
    }

    private func validateText(_ tokens: ArraySlice<Int32>) throws(RequestError) {
        if let stray = tokens.first(where: { $0 < 0 || Int($0) >= vocabularySize }) {
            throw .tokenOutOfRange(stray, vocabulary: vocabularySize)
        }
    }

    public var statistics: EngineStatistics { published.current }

    /// Whether the thread has come to its end, and with it every exchange with other ranks.
    public var hasEnded: Bool { thread.hasEnded.load(ordering: .acquiring) }

    /// Ends every request and the thread.
    public func stop() {
        isStopped.store(true, ordering: .relaxed)
        mailbox.post(.stop)
    }
}

/// What is known of an engine's thread.
private final class ThreadState: Sendable {
    let hasEnded = Atomic<Bool>(false)
}
