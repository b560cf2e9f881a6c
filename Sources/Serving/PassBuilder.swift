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
    private var images: [ForwardPass.ImageRows] = []
    /// On three axes, in a pass of a model that has them.
    private var times: [Int32] = []
    private var rows: [Int32] = []
    private var columns: [Int32] = []

    /// - Parameter request: That of a sequence.
    mutating func build(
        _ step: Step, cache: any KeyValueCache, backend: any Backend, request: (SequenceID) -> ActiveRequest?
    ) -> ForwardPass {
        for item in step.items { append(item, request(item.sequence.id)) }
        return ForwardPass(
            tokens: tokens, positions: positions, lengths: lengths, newSlots: newSlots, sequences: sequences,
            sampledRows: sampledRows, images: images, coordinates: times + rows + columns, cache: cache,
            backend: backend)
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
        images.removeAll(keepingCapacity: true)
        times.removeAll(keepingCapacity: true)
        rows.removeAll(keepingCapacity: true)
        columns.removeAll(keepingCapacity: true)
    }

    private mutating func append(_ item: Step.Item, _ request: ActiveRequest?) {
        let (sequence, first) = (item.sequence, tokens.count)
        let slots = sequence.slots
        let length = Int32(sequence.tokens.count)
        for index in item.range {
            tokens.append(sequence.tokens[index])
            positions.append(Int32(index))
            lengths.append(length)
            newSlots.append(slots[index])
        }
        for image in request?.images ?? [] { append(image, item.range, first: first) }
        if let positions = request?.positions { append(positions, item.range) }
        sequences.append(ForwardPass.Sequence(rows: first..<tokens.count, contextSlots: slots))
        for row in tokens.count - item.logitRows..<tokens.count { sampledRows.append(Int32(row)) }
    }
}

extension PassBuilder {
    /// The part of an image that is in `range` of its sequence, whose row in the pass is `first`.
    private mutating func append(_ image: PromptImage, _ range: Range<Int>, first: Int) {
        let part = image.range.clamped(to: range)
        guard !part.isEmpty else { return }
        let start = first + part.lowerBound - range.lowerBound
        // The table has no such tokens.
        for row in start..<start + part.count { tokens[row] = 0 }
        images.append(
            ForwardPass.ImageRows(
                rows: start..<start + part.count, features: image.image.features,
                first: part.lowerBound - image.start))
    }

    private mutating func append(_ positions: ImagePositions, _ range: Range<Int>) {
        for index in range {
            let (time, row, column) = positions.position(index)
            times.append(Int32(time))
            rows.append(Int32(row))
            columns.append(Int32(column))
        }
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
