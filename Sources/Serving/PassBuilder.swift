import Scheduling
import Tensors

/// Lays the tokens of each step back to back and points each at its slot. Its arrays' memory is used again from
/// step to step.
struct PassBuilder {
    private var tokens: [Int32] = []
    private var positions: [Int32] = []
    private var lengths: [Int32] = []
    private var newSlots: [Int32] = []
    private var sampledRows: [Int32] = []
    private var sequences: [ForwardPass.Sequence] = []

    mutating func build(_ step: Step, cache: any KeyValueCache, backend: any Backend) -> ForwardPass {
        for item in step.items { append(item) }
        return ForwardPass(
            tokens: tokens, positions: positions, lengths: lengths, newSlots: newSlots, sequences: sequences,
            sampledRows: sampledRows, cache: cache, backend: backend)
    }

    /// Forgets the last pass, which must be gone. Sequences share their slots with it, and would have to copy
    /// them to take more.
    mutating func removeAll() {
        tokens.removeAll(keepingCapacity: true)
        positions.removeAll(keepingCapacity: true)
        lengths.removeAll(keepingCapacity: true)
        newSlots.removeAll(keepingCapacity: true)
        sampledRows.removeAll(keepingCapacity: true)
        sequences.removeAll(keepingCapacity: true)
    }

    private mutating func append(_ item: Step.Item) {
        let (sequence, first) = (item.sequence, tokens.count)
        let slots = sequence.slots
        let length = Int32(sequence.tokens.count)
        for index in item.range {
            tokens.append(sequence.tokens[index])
            positions.append(Int32(index))
            lengths.append(length)
            newSlots.append(slots[index])
        }
        sequences.append(ForwardPass.Sequence(rows: first..<tokens.count, contextSlots: slots))
        for row in tokens.count - item.logitRows..<tokens.count { sampledRows.append(Int32(row)) }
    }
}

extension Step.Item {
    /// Whether every token of the part has its logits reported: the prompt's, the first time it is computed.
    var scoresPrompt: Bool { sequence.scoresPrompt && sequence.tokens.count == sequence.promptCount }

    /// How many of its rows give logits: the last one when a token is to be sampled, all when the prompt is
    /// scored.
    var logitRows: Int { scoresPrompt ? range.count : (isLast ? 1 : 0) }

    /// The prompt's tokens that the rows of the part predict: row `i` of a prompt predicts its token `i + 1`.
    var scoredTokens: Range<Int> {
        guard scoresPrompt else { return 0..<0 }
        return range.lowerBound
            + 1..<max(range.lowerBound + 1, min(range.upperBound + 1, sequence.promptCount))
    }
}
