public import Serving

/// How prompts are shortened that are longer than they may be, or leave their answers no room.
public struct PromptTruncation: Sendable, Equatable {
    public enum Mode: String, Sendable, CaseIterable {
        /// The beginning goes.
        case head
        /// The middle goes.
        case center
    }

    /// Nil: such prompts are refused.
    public var mode: Mode?
    /// Tokens that a prompt may have whatever its answer has; then only this shortens it, and what is still too
    /// long together with its answer is refused.
    public var maxInputTokens: Int?

    public init(mode: Mode? = nil, maxInputTokens: Int? = nil) {
        (self.mode, self.maxInputTokens) = (mode, maxInputTokens)
    }

    /// What a request itself wants of its prompt.
    public enum Kept: Sendable, Equatable {
        /// The last tokens, so many at most.
        case last(Int)
        /// The last tokens, as many as leave the answer its room.
        case lastFitting
    }

    /// What is left of `prompt`, whose answer may have `newTokens` and which may have `most` with it. Throws when
    /// it is too long and may not be shortened.
    public func applied(
        to prompt: [Int32], newTokens: Int, most: Int, keeping kept: Kept? = nil
    ) throws(RequestError) -> [Int32] {
        var prompt = prompt
        switch kept {
        case .last(let count)?: prompt = Array(prompt.suffix(count))
        case .lastFitting?: if most > newTokens { prompt = Array(prompt.suffix(most - newTokens)) }
        case nil: break
        }
        if let maxInputTokens, prompt.count > maxInputTokens {
            guard let mode else { throw .promptTooLong(prompt.count, most: maxInputTokens) }
            prompt = mode.shortened(prompt, to: maxInputTokens)
        }
        if newTokens <= most, prompt.count <= most - newTokens { return prompt }
        guard maxInputTokens == nil, let mode else {
            guard maxInputTokens == nil else { throw .requestTooLong(most: most) }
            throw .tooLong(prompt: prompt.count, newTokens: newTokens, most: most)
        }
        guard newTokens < most else { throw .requestTooLong(most: most) }
        return mode.shortened(prompt, to: most - newTokens)
    }

    /// How many tokens an answer gets whose request does not say: what a prompt of `count` tokens leaves of
    /// `most`, up to `standard`. A prompt that leaves nothing but may be shortened makes room for a quarter.
    public func newTokens(promptCount count: Int, most: Int, standard: Int, keeping kept: Kept? = nil) -> Int
    {
        var count = count
        if case .last(let last)? = kept { count = min(count, last) }
        if mode != nil, let maxInputTokens { count = min(count, maxInputTokens) }
        let isShortened = kept == .lastFitting || (mode != nil && maxInputTokens == nil)
        let room = most - count
        return max(1, min(standard, room < 1 && isShortened ? most / 4 : room))
    }
}

extension PromptTruncation.Mode {
    /// At most `count` tokens of `prompt`.
    fileprivate func shortened(_ prompt: [Int32], to count: Int) -> [Int32] {
        guard prompt.count > count else { return prompt }
        return switch self {
        case .head: Array(prompt.suffix(count))
        case .center: Array(prompt.prefix(count / 2) + prompt.suffix(count - count / 2))
        }
    }
}
