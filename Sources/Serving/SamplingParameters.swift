import Tensors

/// How the next token is chosen. The defaults choose the most likely one.
public struct SamplingParameters: Sendable, Equatable {
    /// Logits are divided by it; nil chooses the most likely token.
    public var temperature: Float?
    /// Only the `topK` most likely tokens remain; nil keeps all.
    public var topK: Int?
    /// Only the most likely tokens that together reach this probability remain; in (0, 1].
    public var topP: Float = 1
    /// Only tokens at least this likely, relative to the most likely one, remain; in [0, 1).
    public var minP: Float = 0
    public var presencePenalty: Float = 0
    public var frequencyPenalty: Float = 0
    public var repetitionPenalty: Float = 1
    /// Whether the prompt's tokens count for the penalties.
    public var penalizesPrompt = false
    /// Added to the logits of these tokens.
    public var logitBias: [Int32: Float] = [:]
    /// From this many tokens on, the logits of end tokens grow by `factor` to the power of the excess.
    public var lengthPenalty: LengthPenalty?
    /// Before this many tokens no end token is chosen.
    public var minNewTokens = 1
    /// So many tokens at first are the most likely, whatever the rest says.
    public var likeliestTokens = 0
    /// The same seed, prompt and parameters give the same answer, whatever else runs.
    public var seed: UInt64?

    public struct LengthPenalty: Sendable, Equatable {
        public var start: Int
        public var factor: Float
        public init(start: Int, factor: Float) { (self.start, self.factor) = (start, factor) }
    }

    public init() {}

    var isGreedy: Bool { temperature == nil || topK == 1 }

    /// What top-k, top-p and min-p leave of a vocabulary; nil when that is all.
    func nucleus(of vocabularySize: Int) -> Nucleus? {
        guard topK != nil || topP < 1 || minP > 0 else { return nil }
        return Nucleus(count: min(topK ?? vocabularySize, vocabularySize), mass: topP, ratio: minP)
    }

    /// Whether tokens that were seen are less likely to come again.
    var penalizesTokens: Bool { presencePenalty != 0 || frequencyPenalty != 0 || repetitionPenalty != 1 }
}
