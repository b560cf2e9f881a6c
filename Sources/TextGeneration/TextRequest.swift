public import Scheduling
public import Serving

/// What to generate, in text.
public struct TextRequest: Sendable {
    public enum Prompt: Sendable, Equatable {
        /// With `addsSpecialTokens` the tokens that the model expects around a text come along; with
        /// `parsesSpecialTokens` those spelled out in the text become what they name.
        case text(String, addsSpecialTokens: Bool = true, parsesSpecialTokens: Bool = false)
        /// What a chat template made, with `LiteralText.mark` in special tokens that are only text.
        case rendered(String)
        case tokens([Int32])

        /// The text that a chat template made.
        public var rendered: String? { if case .rendered(let text) = self { text } else { nil } }
    }

    public var prompt: Prompt
    public var maxNewTokens: Int
    /// Those whose tokens are in the prompt, which must be tokens then.
    public var images: [PromptImage] = []
    public var sampling = SamplingParameters()
    /// Whether generation goes on after an end token.
    public var ignoresEndTokens = false
    /// Texts that end the answer where they first occur in it.
    public var stopTexts: [String] = []
    /// Runs of tokens that end the answer, and are part of it.
    public var stopTokens: [[Int32]] = []
    /// Whether the stop text itself is part of the answer.
    public var keepsStopText = false
    public var detokenization = Detokenization()
    /// How many of the likeliest tokens are reported beside each.
    public var topLogProbabilities = 0
    /// Whether the log probabilities of the prompt's own tokens are reported.
    public var scoresPrompt = false
    /// How it waits for its turn: priority, tenant and deadline.
    public var terms = QueueTerms()
    /// Only requests of the same salt share what was computed of their prompts.
    public var cacheSalt: CacheSalt?
    /// What the answer's tokens may be; nil for anything.
    public var constraint: (any TokenConstraint)?

    /// What the request wants to be left of its prompt, before the server's own limits.
    public var keptPrompt: PromptTruncation.Kept?

    public init(prompt: Prompt, maxNewTokens: Int) {
        (self.prompt, self.maxNewTokens) = (prompt, maxNewTokens)
    }
}

/// How tokens become the text of an answer.
public struct Detokenization: Sendable, Equatable {
    public var skipsSpecialTokens = true
    /// Whether special tokens that are shown have spaces around them.
    public var spacesAroundSpecialTokens = false
    /// Whether the end token's text is part of the answer.
    public var showsEndToken = false
    /// Whether the answer continues a text, so that a leading space belongs to it.
    public var continuesText = false
    /// Whether special tokens that mark parts of the answer are part of its text.
    public var showsMarkers = false

    public init() {}
}

/// A token of the answer and the text that became certain with it.
public struct TextChunk: Sendable {
    public let token: ScoredToken
    /// Often empty: characters may take several tokens, and special tokens are mostly left out.
    public let text: String
    public let isSpecial: Bool
    /// Set on the last chunk.
    public let finish: FinishReason?
    /// The stop text that ended the answer.
    public let stop: String?
}

/// A prompt's tokens with their log probabilities, then the answer's chunks.
public enum TextEvent: Sendable {
    /// A first part of the prompt has been computed, after so many tokens that were in the cache.
    case started(cachedTokens: Int)
    case prompt([ScoredToken])
    case chunk(TextChunk)
    /// The request was taken and is given up. Nothing follows.
    case failed(RequestError)
}
