import CPUBackend
import ReferenceBackend
import Tensors
import Testing

/// What only encoders of images need.
@Suite struct EncoderOperationTests {
    /// Rows of sequences that see all of their own, where the rows that look are the tokens or others.
    private func attended(
        _ backend: any Backend, keys: [Int], queries: [Int], heads: Int, width: Int, only: Int? = nil
    ) throws -> [[Float]] {
        let layout = CacheLayout(layers: 1, heads: heads, keyWidth: width, valueWidth: width)
        let total = keys.reduce(0, +)
        let cache = try backend.makeCache(layout, slots: total, element: .float32)
        var (sequences, rows, slots): ([ForwardPass.Sequence], [Int], [Int]) = ([], [], [])
        var (row, slot) = (0, 0)
        for (index, (keys, queries)) in zip(keys, queries).enumerated() {
            if only == nil || only == index {
                sequences.append(
                    .init(
                        rows: rows.count..<rows.count + queries,
                        contextSlots: (slots.count..<slots.count + keys).map { Int32($0) }))
                rows += row..<row + queries
                slots += slot..<slot + keys
            }
            (row, slot) = (row + queries, slot + keys)
        }
        let zeros = rows.map { _ in Int32(0) }
        let pass = ForwardPass(
            tokens: zeros, positions: zeros, lengths: zeros, newSlots: slots.indices.map { Int32($0) },
            sequences: sequences, sampledRows: [], cache: cache, backend: backend)
        let shape = AttentionShape(
            queryHeads: heads, keyValueHeads: heads, keyWidth: width, valueWidth: width, scale: 0.5,
            reach: .everything)
        let (q, k, v) = (
            noise(row, heads * width, 1), noise(slot, heads * width, 2), noise(slot, heads * width, 3)
        )
        return backend.rows(
            pass.attend(
                backend.matrix(rows.map { q[$0] }), backend.matrix(slots.map { k[$0] }),
                backend.matrix(slots.map { v[$0] }), shape, layer: 0))
    }

    @Test(arguments: Candidate.allCases)
    func attendsToEverything(_ candidate: Candidate) throws {
        for (keys, queries) in [
            ([1], [1]), ([31, 33], [31, 33]), ([5, 700], [5, 700]), ([64, 9], [256, 256]),
            ([300, 1], [7, 7]),
        ] {
            for (heads, width) in [(3, 16), (2, 20), (1, 104)] {
                let label = "\(queries) to \(keys), \(heads) heads of \(width)"
                try compare(candidate, 1e-5, label) {
                    try attended($0, keys: keys, queries: queries, heads: heads, width: width)
                }
                // A sequence gives the same alone.
                let backend = candidate.make()
                let both = try attended(backend, keys: keys, queries: queries, heads: heads, width: width)
                let first = try attended(
                    backend, keys: keys, queries: queries, heads: heads, width: width, only: 0)
                #expect(Array(both.prefix(queries[0])) == first, "\(label)")
            }
        }
    }

    @Test(arguments: Candidate.allCases)
    func turnsByPositionsOnSeveralAxes(_ candidate: Candidate) {
        let rotation = Rotation(
            frequencies: .fixed((0..<6).map { 1 / Float($0 + 1) }), columns: 1..<13, pairing: .halves,
            axes: [0, 0, 2, 1, 1, 2])
        #expect(rotation.axisCount == 3)
        compare(candidate, 1e-5, "three axes") { backend in
            let x = backend.matrix(noise(5, 2 * 14, 4))
            let positions = (0..<15).map { Int32($0 * $0 % 23) }
            let table = backend.makeRotationTable(
                rotation, positions: positions, lengths: [1, 1, 1, 1, 1])
            backend.rotate(x, heads: 2, by: table)
            return backend.rows(x)
        }
        // Alike on all axes is one axis.
        let backend = candidate.make()
        let plain = Rotation(frequencies: rotation.frequencies, columns: 1..<13, pairing: .halves)
        let lengths: [Int32] = [1, 1]
        let one = backend.makeRotationTable(plain, positions: [3, 8], lengths: lengths)
        let three = backend.makeRotationTable(
            rotation, positions: [3, 8, 3, 8, 3, 8], lengths: lengths)
        #expect(backend.rows(one.cosines) == backend.rows(three.cosines))
        #expect(backend.rows(one.sines) == backend.rows(three.sines))
    }

    @Test(arguments: Candidate.allCases)
    func scalesColumnsAndWritesRows(_ candidate: Candidate) {
        for columns in [1, 7, 33, 200] {
            compare(candidate, 0, "\(columns) columns") { backend in
                let x = backend.matrix(noise(9, 2 * columns, 5))
                backend.scaleColumns(x.columns(0..<columns), by: backend.matrix(noise(1, columns, 6)))
                let values = Array(noise(4, 2 * columns, 7).joined())
                backend.write(values[2 * columns..<6 * columns], into: x.rows(3..<5))
                return backend.rows(x)
            }
        }
    }
}
