import ReferenceBackend
import Tensors
import Testing

@testable import Serving

@Suite struct StepMessageTests {
    private let backend = ReferenceBackend()
    private let limits = StepMessage.Limits(vocabulary: 50, slots: 64, positions: 1000)

    private func cache() -> any KeyValueCache {
        backend.makeCache(
            CacheLayout(layers: 1, heads: 1, keyWidth: 1, valueWidth: 1), slots: 64, element: .float32)
    }

    private func pass(_ cache: any KeyValueCache) -> ForwardPass {
        ForwardPass(
            tokens: [3, 4, 5, 6], positions: [0, 1, 2, 9], lengths: [3, 3, 3, 10],
            newSlots: [10, 11, 12, 30],
            sequences: [
                .init(rows: 0..<3, contextSlots: [10, 11, 12]),
                .init(rows: 3..<4, contextSlots: [21, 22, 23, 24, 25, 26, 27, 28, 29, 30]),
            ], sampledRows: [2, 3], cache: cache, backend: backend)
    }

    @Test func comesBackAsItWas() throws {
        let cache = cache()
        let pass = pass(cache)
        let read = try StepMessage.decode(StepMessage.encode(pass), limits, cache: cache, backend: backend)
        #expect(read.tokens == pass.tokens && read.positions == pass.positions)
        #expect(read.lengths == pass.lengths && read.newSlots == pass.newSlots)
        #expect(read.sampledRows == pass.sampledRows)
        #expect(read.sequences.map(\.rows) == pass.sequences.map(\.rows))
        #expect(read.sequences.map(\.contextSlots) == pass.sequences.map(\.contextSlots))
    }

    @Test func imagesComeAlong() throws {
        let cache = cache()
        let features = ImageFeatures(rows: 3, columns: 2, values: [1, 2, 3, 4, 5, -6.5])
        let plain = pass(cache)
        let pass = ForwardPass(
            tokens: plain.tokens, positions: plain.positions, lengths: plain.lengths,
            newSlots: plain.newSlots, sequences: plain.sequences, sampledRows: plain.sampledRows,
            images: [.init(rows: 1..<3, features: features, first: 1)], coordinates: Array(0..<12),
            cache: cache, backend: backend)
        var limits = limits
        (limits.axes, limits.featureWidth) = (3, 2)
        let message = StepMessage.encode(pass)
        let read = try StepMessage.decode(message, limits, cache: cache, backend: backend)
        #expect(read.coordinates == pass.coordinates)
        #expect(read.images.map(\.rows) == [1..<3])
        #expect(read.images.first?.features.values == [3, 4, 5, -6.5])
        limits.featureWidth = 4
        #expect(throws: StepMessageError.wrong("width of images", 2)) {
            try StepMessage.decode(message, limits, cache: cache, backend: backend)
        }
    }

    /// Every word replaced by numbers that it may not be gives an error or a step within the limits, never a trap.
    @Test func nothingButStepsIsTaken() throws {
        let cache = cache()
        let message = StepMessage.encode(pass(cache))
        for length in 0..<message.count {
            #expect(throws: StepMessageError.self) {
                try StepMessage.decode(Array(message.prefix(length)), limits, cache: cache, backend: backend)
            }
        }
        #expect(throws: StepMessageError.self) {
            try StepMessage.decode(message + [0], limits, cache: cache, backend: backend)
        }
        var refused = 0
        for word in 0..<message.count / 4 {
            for value in [Int32.min, -1, 0, 1, 63, 64, 1 << 20, .max] {
                var changed = message
                withUnsafeBytes(of: value.littleEndian) {
                    changed.replaceSubrange(4 * word..<4 * word + 4, with: $0)
                }
                guard let pass = try? StepMessage.decode(changed, limits, cache: cache, backend: backend)
                else {
                    refused += 1
                    continue
                }
                #expect(pass.tokens.allSatisfy { (0..<50).contains($0) })
                #expect(pass.newSlots.allSatisfy { (0..<64).contains($0) })
                #expect(pass.sampledRows.allSatisfy { (0..<4).contains($0) })
                for sequence in pass.sequences {
                    let last = pass.positions[sequence.rows.upperBound - 1]
                    #expect(sequence.contextSlots.count > Int(last))
                    #expect(sequence.contextSlots.allSatisfy { (0..<64).contains($0) })
                }
            }
        }
        #expect(refused > message.count / 2)
    }
}
