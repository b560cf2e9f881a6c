public import Scheduling
public import Tensors

/// What to generate, in tokens.
public struct GenerationRequest: Sendable {
    public var prompt: [Int32]
    /// Images whose tokens are in the prompt, in order.
    public var images: [PromptImage] = []
    public var maxNewTokens: Int
    public var sampling = SamplingParameters()
    /// Tokens that end the answer. They are part of it.
    public var endTokens: Set<Int32> = []
    /// Whether generation goes on after an end token.
    public var ignoresEndTokens = false
    /// Runs of tokens that end the answer. They are part of it.
    public var stopSequences: [[Int32]] = []
    /// How many of the likeliest tokens are reported beside each generated one.
    public var topLogProbabilities = 0
    /// Whether the log probabilities of the prompt's own tokens are reported.
    public var scoresPrompt = false
    /// Whether the logits after the prompt are reported.
    public var reportsLogits = false
    /// For a model without a head: how its states become the one vector that is reported as its logits.
    public var pooling: Pooling?
    /// How it waits for its turn: priority, tenant and deadline.
    public var terms = QueueTerms()
    /// Only requests of the same salt share what was computed of their prompts.
    public var cacheSalt: CacheSalt?
    /// What its tokens may be; nil for anything.
    public var constraint: (any TokenConstraint)?

    public init(prompt: [Int32], maxNewTokens: Int) {
        (self.prompt, self.maxNewTokens) = (prompt, maxNewTokens)
    }

    /// Asks a reward model how good `prompt` is: the one number is what is reported as its logits.
    public static func score(_ prompt: [Int32]) -> GenerationRequest {
        var request = GenerationRequest(prompt: prompt, maxNewTokens: 1)
        request.reportsLogits = true
        return request
    }

    /// Asks a model without a head for the vector of `text`.
    public static func embedding(_ text: [Int32], _ pooling: Pooling) -> GenerationRequest {
        var request = score(text)
        (request.pooling, request.scoresPrompt) = (pooling, pooling.needsEveryToken)
        return request
    }

    /// Whether it asks for nothing but what a reward model says.
    var asksForScore: Bool {
        reportsLogits && maxNewTokens == 1 && !scoresPrompt && pooling == nil && topLogProbabilities == 0
            && sampling == SamplingParameters() && constraint == nil
    }
}

/// A token and the natural logarithm of its probability.
public struct TokenScore: Sendable, Equatable {
    public let token: Int32
    public let logProbability: Float

    public init(token: Int32, logProbability: Float) {
        (self.token, self.logProbability) = (token, logProbability)
    }
}

/// A token of the prompt or of the answer, with the tokens most likely in its place.
public struct ScoredToken: Sendable, Equatable {
    public let token: Int32
    /// nil for the first token of a prompt, which nothing predicts.
    public let logProbability: Float?
    /// Most likely first.
    public let top: [TokenScore]

    public init(token: Int32, logProbability: Float?, top: [TokenScore] = []) {
        (self.token, self.logProbability, self.top) = (token, logProbability, top)
    }
}

/// Why an answer ended.
public enum FinishReason: String, Sendable, CaseIterable {
    /// An end token or a stop sequence.
    case stop
    /// The most tokens that were asked for.
    case length
}

/// What the engine reports about a request, in order: its beginning, prompt scores, logits, tokens.
public enum GenerationEvent: Sendable {
    /// A first part of the prompt has been computed, after so many tokens that were in the cache.
    case started(cachedTokens: Int)
    /// The next tokens of the prompt, when `scoresPrompt` asked for them.
    case prompt([ScoredToken])
    /// The logits after the prompt, when `reportsLogits` asked for them.
    case logits([Float])
    /// The next token of the answer; the last one comes with the reason why no other follows.
    case token(ScoredToken, finish: FinishReason?)
    /// The request was taken and is given up. Nothing follows.
    case failed(RequestError)
}

/// The events of one request. Iterate once. The request ends with `cancel()`, or when stream and iterator go.
public struct GenerationStream: AsyncSequence, Sendable {
    private let events: AsyncStream<GenerationEvent>
    /// Ends the request; its slots are free before the next step begins. Keeping this keeps no request.
    public let cancel: @Sendable () -> Void

    init(events: AsyncStream<GenerationEvent>, cancel: @escaping @Sendable () -> Void) {
        (self.events, self.cancel) = (events, cancel)
    }

    public func makeAsyncIterator() -> AsyncStream<GenerationEvent>.Iterator { events.makeAsyncIterator() }
}

/// Why the engine does not take a request.
public enum RequestError: Error, Equatable, CustomStringConvertible {
    case emptyPrompt
    /// An image's tokens are not where it is said to be.
    case misplacedImage(at: Int)
    case imagesNotTaken
    case tokenOutOfRange(Int32, vocabulary: Int)
    case biasOutOfRange(Int32, vocabulary: Int)
    case nothingToGenerate(Int)
    case tooLong(prompt: Int, newTokens: Int, most: Int)
    /// Prompts alone may not have so many tokens.
    case promptTooLong(Int, most: Int)
    /// Even what may be left of the prompt leaves the answer no room.
    case requestTooLong(most: Int)
    /// As many requests wait as may; later there may be room.
    case queueFull(limit: Int)
    /// Its turn did not come before its deadline.
    case expired
    case engineStopped
    /// What computes is gone.
    case engineFailed(String)
    /// The model scores texts and generates none, or the other way round.
    case wrongKind(generates: Bool)
    /// The model turns texts into vectors.
    case embedsOnly
    /// No token can go on with an answer under its constraint, or finding one costs too much.
    case constraintFailed(String)

    public var description: String {
        switch self {
        case .emptyPrompt: "the prompt is empty"
        case .misplacedImage(let start): "the tokens of the image at \(start) are not in the prompt"
        case .imagesNotTaken: "this model reads text only"
        case .tokenOutOfRange(let token, let vocabulary):
            "prompt token \(token) is outside the vocabulary of \(vocabulary)"
        case .biasOutOfRange(let token, let vocabulary):
            "logit_bias names token \(token), which is outside the vocabulary of \(vocabulary)"
        case .nothingToGenerate(let count): "max_new_tokens must be at least 1, but get \(count)"
        case .tooLong(let prompt, let newTokens, let most):
            "the input prompt token len \(prompt) + max_new_tokens \(newTokens) > \(most)"
        case .promptTooLong(let count, let most): "the input prompt token len \(count) is too long > \(most)"
        case .requestTooLong(let most):
            "the req total len (input len + output len) is too long > max_req_total_len:\(most)"
        case .queueFull(let limit): "\(limit) requests are waiting, which is the limit; try again later"
        case .expired: "the request waited longer than it may"
        case .engineStopped: "the engine has stopped"
        case .engineFailed(let reason): "the engine has failed: \(reason)"
        case .embedsOnly: "this server gives embeddings and generates none; start it without --embedding"
        case .constraintFailed(let reason): "the answer cannot go on: \(reason)"
        case .wrongKind(let generates):
            generates
                ? "this model generates text and scores none" : "this model scores text and generates none"
        }
    }
}

/// What the engine's thread does while a step runs. It shows in no answer.
public enum StepOrder: Sendable, CaseIterable {
    /// Nothing. What a step made is sent, and requests come and go, before the next step begins.
    case oneAfterTheOther
    /// What needs none of the step's tokens: the step before is sent, and requests come and go. For backends that work
    /// behind.
    case overlapped
}

/// How an engine is set up.
public struct EngineConfiguration: Sendable {
    /// Token slots of the key/value cache.
    public var slots: Int
    public var cacheElement: CacheElement
    public var limits: SchedulerLimits
    /// Decides how many requests run at the same time.
    public var policy: any AdmissionPolicy = GuaranteedPolicy()
    /// Whether what was computed of a prompt is kept for requests that begin alike, until its slots are needed.
    public var sharesPrefixes = true
    /// The most tokens a request may come to have, prompt and answer.
    public var maxRequestTokens: Int
    /// Where the engine writes what it spends its time on; by default nowhere.
    public var trace: StepTrace?
    /// What the engine does while a step runs; by default what suits the backend.
    public var stepOrder: StepOrder?

    public init(
        slots: Int, cacheElement: CacheElement, limits: SchedulerLimits = SchedulerLimits(),
        maxRequestTokens: Int
    ) {
        (self.slots, self.cacheElement, self.limits) = (slots, cacheElement, limits)
        self.maxRequestTokens = maxRequestTokens
    }

    /// The most tokens that a request can have: what is allowed, or what the cache holds if that is less.
    public var longestRequest: Int { min(maxRequestTokens, slots) }
}
