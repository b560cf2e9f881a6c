import Layers
import Scheduling
import Tensors

/// A request the engine works on; lives on the engine's thread.
final class ActiveRequest {
    let sequence: ScheduledSequence
    let events: AsyncStream<GenerationEvent>.Continuation
    private var generated = 0
    private var hasStarted = false
    /// Prompt tokens whose scores are out: a request that was paused goes through its prompt again.
    private var scored = 0
    private let request: GenerationRequest
    /// On several axes, for models that have them.
    let positions: ImagePositions?
    private var sampler: Sampler
    private var pooled: PooledStates?
    // What a step made of the request, until it is delivered.
    private var cachedTokens: Int?
    private var promptScores: [ScoredToken]?
    private var logits: [Float]?
    private var token: ScoredToken?
    private var finish: FinishReason?
    /// Why the request cannot go on.
    private(set) var failure: RequestError?

    init(_ ticket: SequenceTicket, _ model: any LanguageModel) {
        let request = ticket.request
        let vocabularySize = model.vocabularySize
        pooled = request.pooling.map { PooledStates($0) }
        (self.request, events) = (request, ticket.events)
        positions = model.positionAxes > 1 ? ImagePositions(request.images) : nil
        sequence = ScheduledSequence(
            id: SequenceID(ticket.id), prompt: request.prompt, maxNewTokens: request.maxNewTokens,
            scoresPrompt: request.scoresPrompt, cacheUse: Self.cacheUse(request, model),
            terms: request.terms)
        sampler = Sampler(
            request.sampling, endTokens: request.endTokens, prompt: request.prompt,
            vocabularySize: vocabularySize, constraint: request.constraint)
    }

    /// Prefixes are shared among requests at all of whose lengths the model computes the same.
    private static func cacheUse(_ request: GenerationRequest, _ model: any LanguageModel) -> CacheUse {
        let most = request.prompt.count + request.maxNewTokens
        if model.keepsCache(from: 1, to: most) { return .shared(request.cacheSalt) }
        return model.keepsCache(from: request.prompt.count, to: most) ? .own : .recomputed
    }

    /// Asks about the logits of its part of a step, whose rows begin at `row`: one question for each token of
    /// the prompt that is scored, then one for the token that is sampled.
    func ask(_ item: Step.Item, _ logits: Matrix, row: Int, into queries: inout [LogitQuery]) {
        if pooled != nil {
            pooled?.take(
                logits, rows: row..<row + item.logitRows, from: item.range.upperBound - item.logitRows)
            guard item.isLast else { return }
            self.logits = pooled?.vector
            // What follows means nothing, and ends the request.
            return queries.append(LogitQuery(row: row + item.logitRows - 1))
        }
        for (offset, token) in item.scoredTokens.enumerated() {
            var query = LogitQuery(row: row + offset)
            // Nothing predicts an image.
            query.choice = isText(token) ? .column(Int(sequence.tokens[token])) : .likeliest
            query.leading = request.topLogProbabilities
            queries.append(query)
        }
        guard item.isLast else { return }
        let last = row + item.logitRows - 1
        if request.reportsLogits, generated == 0 {
            // Before the sampler edits them.
            var values: [Float] = []
            logits.backend.read(logits, row: last, into: &values)
            self.logits = values
        }
        do {
            queries.append(try sampler.ask(row: last, top: request.topLogProbabilities))
        } catch {
            failure = .constraintFailed("\(error)")
        }
    }

    /// Takes the answers to `ask`.
    func take(_ item: Step.Item, _ answers: ArraySlice<LogitAnswer>) {
        if !hasStarted { (hasStarted, cachedTokens) = (true, item.range.lowerBound) }
        if item.scoresPrompt, pooled == nil {
            var scores = scored == 0 ? [unpredicted] : []
            for (token, answer) in zip(item.scoredTokens, answers) where token >= scored {
                scores.append(
                    ScoredToken(
                        token: sequence.tokens[token],
                        logProbability: isText(token) ? answer.choice.logProbability : nil,
                        top: tokenScores(answer.leading)))
            }
            promptScores = scores
            scored = max(scored, item.scoredTokens.upperBound)
        }
        guard item.isLast, failure == nil, let last = answers.last else { return }
        do {
            token = try sampler.take(last)
        } catch {
            failure = .constraintFailed("\(error)")
        }
    }

    /// Whether the token at `place` is one of the vocabulary.
    private func isText(_ place: Int) -> Bool { !request.images.contains { $0.range.contains(place) } }

    /// The images that some of the sequence's tokens are of.
    var images: [PromptImage] { request.images }

    private var unpredicted: ScoredToken { ScoredToken(token: sequence.tokens[0], logProbability: nil) }

    /// The token that the step chose; nil in the middle of a prompt.
    var chosenToken: Int32? { token?.token }

    /// Counts the token that was chosen, which is the sequence's last by now. Returns whether the answer is
    /// complete with it.
    func conclude(with token: Int32) -> Bool {
        generated += 1
        finish = finishReason(after: token)
        return finish != nil
    }

    /// What the step made, to be sent.
    func takeDelivery() -> Delivery {
        defer { (cachedTokens, promptScores, logits, token) = (nil, nil, nil, nil) }
        return Delivery(
            events: events, cachedTokens: cachedTokens, promptScores: promptScores, logits: logits,
            token: token, finish: finish)
    }

    /// Whether the answer, whose last token is `token`, is complete. Stop sequences look at the answer alone.
    private func finishReason(after token: Int32) -> FinishReason? {
        for stop in request.stopSequences where !stop.isEmpty && stop.count <= generated {
            if sequence.tokens.suffix(stop.count).elementsEqual(stop) { return .stop }
        }
        if !request.ignoresEndTokens, request.endTokens.contains(token) { return .stop }
        if sampler.mustEnd { return .stop }
        return generated >= request.maxNewTokens ? .length : nil
    }
}
