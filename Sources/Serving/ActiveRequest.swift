import Scheduling
import Tensors

/// A request the engine works on; lives on the engine's thread.
final class ActiveRequest {
    let sequence: ScheduledSequence
    let events: AsyncStream<GenerationEvent>.Continuation
    let topLogProbabilities: Int
    let reportsLogits: Bool
    /// Whether the likeliest token of the raw logits is all it wants.
    let takesGreedyChoice: Bool
    private(set) var generated = 0
    private let request: GenerationRequest
    private var sampler: Sampler

    init(_ ticket: SequenceTicket) {
        let request = ticket.request
        (self.request, events) = (request, ticket.events)
        sequence = ScheduledSequence(
            id: SequenceID(ticket.id), prompt: request.prompt, maxNewTokens: request.maxNewTokens,
            scoresPrompt: request.scoresPrompt)
        sampler = Sampler(request.sampling, endTokens: request.endTokens, prompt: request.prompt)
        (topLogProbabilities, reportsLogits) = (request.topLogProbabilities, request.reportsLogits)
        takesGreedyChoice = request.sampling.usesRawLogits && request.topLogProbabilities == 0
    }

    func sample(_ logits: inout [Float]) -> ScoredToken {
        generated += 1
        return sampler.sample(&logits, top: topLogProbabilities)
    }

    func note(_ token: Int32) {
        generated += 1
        sampler.note(token)
    }

    /// Whether the answer, whose last token is `token`, is complete. Stop sequences look at the answer alone.
    func finishReason(after token: Int32) -> FinishReason? {
        let answer = sequence.tokens.suffix(generated)
        for stop in request.stopSequences where !stop.isEmpty && stop.count <= generated {
            if answer.suffix(stop.count).elementsEqual(stop) { return .stop }
        }
        if !request.ignoresEndTokens, request.endTokens.contains(token) { return .stop }
        return generated >= request.maxNewTokens ? .length : nil
    }
}

extension Step.Item {
    /// Whether every token of the part has its logits reported: the prompt's, the first time it is computed.
    var scoresPrompt: Bool { sequence.scoresPrompt && sequence.tokens.count == sequence.promptCount }
}

extension ForwardPass {
    /// Lays the step's tokens back to back and points each at its slot. Also returns, for each item, how many
    /// of its rows give logits: the last one when a token is to be sampled, all when the prompt is scored.
    static func make(
        _ step: Step, cache: any KeyValueCache, backend: any Backend
    ) -> (pass: ForwardPass, outputs: [Int]) {
        var tokens: [Int32] = [], positions: [Int32] = [], lengths: [Int32] = [], newSlots: [Int32] = []
        var sampledRows: [Int32] = [], outputs: [Int] = [], sequences: [Sequence] = []
        for item in step.items {
            let (sequence, first) = (item.sequence, tokens.count)
            tokens += sequence.tokens[item.range]
            positions += item.range.lazy.map { Int32($0) }
            lengths += item.range.lazy.map { _ in Int32(sequence.tokens.count) }
            newSlots += sequence.slots[item.range]
            sequences.append(Sequence(rows: first..<tokens.count, contextSlots: sequence.slots))
            let rows = item.scoresPrompt ? item.range.count : (item.isLast ? 1 : 0)
            sampledRows += (tokens.count - rows..<tokens.count).lazy.map { Int32($0) }
            outputs.append(rows)
        }
        let pass = ForwardPass(
            tokens: tokens, positions: positions, lengths: lengths, newSlots: newSlots, sequences: sequences,
            sampledRows: sampledRows, cache: cache, backend: backend)
        return (pass, outputs)
    }
}
