import Foundation
import Tensors

/// Chooses the tokens of one request. Its choices depend on the request and the logits alone.
///
/// It puts its choice as a question about a row of logits, so that nothing here is as long as the vocabulary
/// and the backend works on the rows of many requests at once.
struct Sampler {
    let parameters: SamplingParameters
    let endTokens: Set<Int32>
    private let vocabularySize: Int
    private var random: SeededGenerator
    /// How often each token counts as seen; kept for the penalties only.
    private var counts: [Int32: Int] = [:]
    private var generated = 0
    private var constraint: (any TokenConstraint)?
    private var query = LogitQuery(row: 0)

    init(
        _ parameters: SamplingParameters, endTokens: Set<Int32>, prompt: [Int32], vocabularySize: Int,
        constraint: (any TokenConstraint)? = nil
    ) {
        self.constraint = constraint
        (self.parameters, self.endTokens, self.vocabularySize) = (parameters, endTokens, vocabularySize)
        random = SeededGenerator(seed: parameters.seed ?? UInt64.random(in: .min ... .max))
        if parameters.penalizesPrompt, parameters.penalizesTokens {
            // Those above stand for images.
            for token in prompt where token < vocabularySize { counts[token, default: 0] += 1 }
        }
        if let temperature = parameters.temperature, !parameters.isGreedy { query.temperature = temperature }
    }

    /// What to ask about `row` to choose the next token and to report the `top` likeliest. Throws when the
    /// constraint leaves nothing to choose.
    mutating func ask(row: Int, top: Int) throws -> LogitQuery {
        (query.row, query.leading) = (row, top)
        query.allowed = try constraint?.allowedTokens()
        findEdits()
        query.choice = .likeliest
        guard !parameters.isGreedy, generated >= parameters.likeliestTokens else { return query }
        let point = random.nextUnit()
        if let nucleus = parameters.nucleus(of: vocabularySize) {
            query.choice = .drawnFrom(nucleus, at: point)
        } else {
            query.choice = .drawn(at: point)
        }
        return query
    }

    /// The token that was chosen, which counts as seen from now on.
    mutating func take(_ answer: LogitAnswer) throws -> ScoredToken {
        let token = Int32(answer.choice.index)
        try constraint?.advance(with: token)
        if parameters.penalizesTokens { counts[token, default: 0] += 1 }
        generated += 1
        return ScoredToken(
            token: token, logProbability: answer.choice.logProbability, top: tokenScores(answer.leading))
    }

    /// Whether the constraint lets nothing follow.
    var mustEnd: Bool { constraint?.mustEnd ?? false }

    private mutating func findEdits() {
        query.edits.removeAll(keepingCapacity: true)
        for (token, bias) in parameters.logitBias { edit(token, .add(bias)) }
        for (token, count) in counts {
            let minus = Float(count) * parameters.frequencyPenalty + parameters.presencePenalty
            edit(token, .penalize(repetition: parameters.repetitionPenalty, minus: minus))
        }
        let growth = parameters.lengthPenalty.flatMap { penalty in
            generated > penalty.start ? pow(penalty.factor, Float(generated - penalty.start)) - 1 : nil
        }
        let isTooShort = generated < parameters.minNewTokens - 1
        guard growth != nil || isTooShort else { return }
        for token in endTokens {
            if let growth { edit(token, .grow(growth)) }
            // Where a constraint allows nothing but the end, the answer is long enough.
            if isTooShort, !allowsOnlyEnd { edit(token, .exclude) }
        }
    }

    private var allowsOnlyEnd: Bool {
        guard var rest = query.allowed else { return false }
        for token in endTokens where token >= 0 && rest.indices.contains(Int(token) / 64) {
            rest[Int(token) / 64] &= ~(1 << UInt64(token % 64))
        }
        return rest.allSatisfy { $0 == 0 }
    }

    private mutating func edit(_ token: Int32, _ change: LogitEdit.Change) {
        guard (0..<vocabularySize).contains(Int(token)) else { return }
        query.edits.append(LogitEdit(column: Int(token), change))
    }
}

/// Columns of logits as tokens, without those that are impossible.
func tokenScores(_ columns: [LogitAnswer.Column]) -> [TokenScore] {
    columns.filter { $0.logProbability > -.infinity }
        .map { TokenScore(token: Int32($0.index), logProbability: $0.logProbability) }
}

/// SplitMix64 (Steele, Lea, Flood 2014): small, seedable, the same everywhere.
public struct SeededGenerator: RandomNumberGenerator, Sendable {
    private var state: UInt64

    public init(seed: UInt64) { state = seed }

    public mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    /// Uniform in [0, 1).
    public mutating func nextUnit() -> Double { Double(next() >> 11) * 0x1p-53 }
}
