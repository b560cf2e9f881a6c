import CCUDAHost
import CUDABackend
import Foundation
import ReferenceBackend
import Tensors
import Testing

@Suite(.serialized) struct AttentionTests {
    /// Sequences with what they have cached and how many rows are new, at shuffled slots.
    private struct Scene {
        let shape: AttentionShape
        let sequences: [(cached: Int, new: Int)]
        let rotation: Rotation
        /// Whether values are the first columns of keys, which are not rotated.
        let valuesLeadKeys: Bool

        var rows: Int { sequences.reduce(0) { $0 + $1.new } }

        init(
            heads: Int, group: Int, width: Int, values: Int? = nil, reach: AttentionShape.Reach,
            softcap: Float? = nil,
            hasSlopes: Bool = false, valuesLeadKeys: Bool = false, _ sequences: [(Int, Int)]
        ) {
            self.valuesLeadKeys = valuesLeadKeys
            let firstRotated = valuesLeadKeys ? values ?? width : 0
            shape = AttentionShape(
                queryHeads: heads * group, keyValueHeads: heads, keyWidth: width, valueWidth: values ?? width,
                scale: 1 / Float(width).squareRoot(), reach: reach, softcap: softcap,
                slopes: hasSlopes ? (0..<heads * group).map { 0.1 / Float($0 + 1) } : nil)
            self.sequences = sequences
            rotation = Rotation(
                frequencies: .fixed((0..<(width - firstRotated) / 2).map { pow(0.7, Float($0)) }),
                columns: firstRotated..<width,
                pairing: .halves)
        }

        /// Caches what is cached in one pass and runs the new rows in another, `chunk` of each sequence at a time.
        func run(_ backend: any Backend, _ element: CacheElement, chunk: Int = .max, alone: Int? = nil) throws
            -> [[Float]]
        {
            let slots = sequences.reduce(0) { $0 + $1.cached + $1.new } + 3
            let layout = CacheLayout(
                layers: 2, heads: shape.keyValueHeads, keyWidth: shape.keyWidth, valueWidth: shape.valueWidth,
                valuesLeadKeys: valuesLeadKeys)
            let cache = try backend.makeCache(layout, slots: slots, element: element)
            var contexts: [[Int32]] = [], used = 0
            for sequence in sequences {
                contexts.append(
                    (used..<used + sequence.cached + sequence.new).map {
                        Int32($0 &* 7919 % (slots | 1) % slots)
                    })
                used += sequence.cached + sequence.new
            }
            // Every slot once, in an order without order.
            var order = (0..<slots).map { Int32($0) }
            var noise = Noise(1)
            for index in order.indices.reversed() {
                order.swapAt(index, Int(abs(noise.next()) * Float(index + 1)) % (index + 1))
            }
            var next = 0
            for index in contexts.indices {
                contexts[index] = contexts[index].map { _ in
                    next += 1
                    return order[next - 1]
                }
            }
            var results = [[[Float]]](repeating: [], count: sequences.count)
            var done = sequences.map { _ in 0 }
            while true {
                var parts: [(sequence: Int, positions: Range<Int>)] = []
                for (index, sequence) in sequences.enumerated() where alone == nil || alone == index {
                    let total = sequence.cached + sequence.new
                    let limit =
                        done[index] < sequence.cached
                        ? sequence.cached : min(total, chunk == .max ? total : done[index] + chunk)
                    if done[index] < limit { parts.append((index, done[index]..<limit)) }
                    done[index] = limit
                }
                if parts.isEmpty { break }
                let outputs = try step(backend, cache, parts, contexts)
                for (part, output) in zip(parts, outputs)
                where part.positions.lowerBound >= sequences[part.sequence].cached {
                    results[part.sequence] += output
                }
            }
            return Array(results.joined())
        }

        private func step(
            _ backend: any Backend, _ cache: any KeyValueCache,
            _ parts: [(sequence: Int, positions: Range<Int>)],
            _ contexts: [[Int32]]
        ) throws -> [[[Float]]] {
            let rows = parts.flatMap { part in part.positions.map { (part.sequence, $0) } }
            var (start, sequences) = (0, [ForwardPass.Sequence]())
            for part in parts {
                sequences.append(
                    ForwardPass.Sequence(
                        rows: start..<start + part.positions.count,
                        contextSlots: Array(contexts[part.sequence].prefix(part.positions.upperBound))))
                start += part.positions.count
            }
            let pass = ForwardPass(
                tokens: rows.map { _ in 0 }, positions: rows.map { Int32($0.1) },
                lengths: rows.map { Int32($0.1 + 1) },
                newSlots: rows.map { contexts[$0.0][$0.1] }, sequences: sequences, sampledRows: [],
                cache: cache,
                backend: backend)
            func values(_ columns: Int, _ seed: Int) -> [[Float]] {
                rows.map { row in
                    var noise = Noise(seed + 1000 * row.0 + 7 * row.1)
                    return noise.floats(columns)
                }
            }
            let keyColumns = shape.keyValueHeads * shape.keyWidth
            let keys = values(keyColumns, 2), width = shape.keyWidth
            func leading() -> [[Float]] {
                keys.map { key in
                    (0..<shape.keyValueHeads).flatMap { key[$0 * width..<$0 * width + shape.valueWidth] }
                }
            }
            let (q, k, v) = (
                backend.matrix(values(shape.queryHeads * width, 1)), backend.matrix(keys),
                backend.matrix(
                    valuesLeadKeys ? leading() : values(shape.keyValueHeads * shape.valueWidth, 3))
            )
            let y = backend.rows(pass.attend(q, k, v, rotatedBy: rotation, shape, layer: 1))
            return sequences.map { Array(y[$0.rows]) }
        }
    }

    private static let pattern = AttentionShape.BlockPattern(positions: 32, near: 2, stride: 3, headStep: 1)
    private static let scenes = [
        Scene(heads: 2, group: 1, width: 16, reach: .causal, [(0, 1), (70, 1), (530, 1)]),
        Scene(heads: 1, group: 4, width: 16, reach: .causal, [(0, 40), (255, 3), (260, 20)]),
        Scene(heads: 1, group: 3, width: 64, reach: .causalWindow(50), [(0, 20), (300, 2)]),
        Scene(heads: 2, group: 1, width: 20, values: 24, reach: .causal, [(0, 5), (280, 2), (30, 1)]),
        Scene(heads: 1, group: 40, width: 16, reach: .causal, [(10, 1), (270, 2)]),
        Scene(
            heads: 1, group: 2, width: 16, reach: .causal, softcap: 2, hasSlopes: true, [(0, 30), (270, 1)]),
        Scene(heads: 1, group: 2, width: 16, reach: .causalBlocks(pattern), [(0, 150), (300, 1)]),
        Scene(
            heads: 1, group: 2, width: 12, reach: .causalBlocks(pattern), softcap: 2, hasSlopes: true,
            [(130, 3)]),
        // Rows that hold keys and values: one query or many, parts that several tasks compute or one.
        Scene(
            heads: 1, group: 4, width: 96, values: 64, reach: .causal, valuesLeadKeys: true,
            [(0, 20), (250, 8), (270, 1)]),
        Scene(
            heads: 2, group: 5, width: 96, values: 64, reach: .causalWindow(50), valuesLeadKeys: true,
            [(3, 6), (270, 1)]),
        Scene(
            heads: 1, group: 3, width: 40, values: 24, reach: .causal, valuesLeadKeys: true,
            [(0, 9), (30, 2)]),
    ]

    @Test(arguments: scenes.indices, CacheElement.allCases)
    func attendsAsTheReference(_ index: Int, _ element: CacheElement) throws {
        let scene = Self.scenes[index]
        let expected = try scene.run(ReferenceBackend(), .float32)
        let tolerance: Float = [.float32: 1e-5, .float16: 3e-3, .bfloat16: 2e-2, .int8: 3e-2][element] ?? 0
        for backwards in [false, true] {
            cuda_host_set_backwards(backwards)
            defer { cuda_host_set_backwards(false) }
            expectClose(
                try scene.run(try makeHostBackend(), element), expected, tolerance,
                "scene \(index) \(element)")
        }
    }

    /// Alone, together and in chunks: the same bits.
    @Test(arguments: scenes.indices, [CacheElement.float32, .float16, .int8])
    func companyDoesNotMatter(_ index: Int, _ element: CacheElement) throws {
        let scene = Self.scenes[index]
        let together = try scene.run(try makeHostBackend(), element)
        #expect(try scene.run(try makeHostBackend(), element, chunk: 3) == together)
        var alone: [[Float]] = []
        for sequence in scene.sequences.indices {
            alone += try scene.run(try makeHostBackend(), element, chunk: 50, alone: sequence)
        }
        #expect(alone == together)
    }
}
