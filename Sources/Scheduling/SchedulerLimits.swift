/// The numbers a scheduler keeps to.
public struct SchedulerLimits: Sendable, Equatable {
    /// Sequences that run at the same time; at most `tokensPerStep`.
    public var runningSequences: Int
    /// Tokens computed in one step, prompts and answers together.
    public var tokensPerStep: Int
    /// Prompt tokens computed in one step for a sequence whose prompt is scored; each has a row of logits.
    public var scoredTokensPerStep: Int
    /// Sequences that may wait; nil sets no bound.
    public var waitingSequences: Int?
    /// While something runs, the queue is looked at again this many steps after a look that admitted nothing.
    public var stepsBetweenLooks = 1

    public init(runningSequences: Int = 256, tokensPerStep: Int = 512, scoredTokensPerStep: Int = 32) {
        precondition(
            runningSequences > 0 && tokensPerStep > 0 && scoredTokensPerStep > 0, "limits are positive")
        // One token each must fit, or a prompt could wait for ever.
        self.runningSequences = min(runningSequences, tokensPerStep)
        self.tokensPerStep = tokensPerStep
        self.scoredTokensPerStep = scoredTokensPerStep
    }

    /// The most tokens of `sequence` that are computed in one step.
    func chunk(_ sequence: ScheduledSequence) -> Int {
        sequence.scoresPrompt ? min(tokensPerStep, scoredTokensPerStep) : tokensPerStep
    }
}

/// As many sequences wait as may.
public struct QueueFull: Error, Equatable {
    public let limit: Int
    public init(limit: Int) { self.limit = limit }
}
