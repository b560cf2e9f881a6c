import CCUDAHost
import CUDABackend
import ReferenceBackend
import Tensors
import Testing

/// What only encoders of images need, against the reference, with the threads of a block in both orders.
@Suite(.serialized) struct EncoderOperationTests {
    private func compare(
        _ tolerance: Float, _ what: String, _ operation: (any Backend) throws -> [[Float]]
    ) throws {
        let expected = try operation(ReferenceBackend())
        for backwards in [false, true] {
            cuda_host_set_backwards(backwards)
            defer { cuda_host_set_backwards(false) }
            expectClose(try operation(makeHostBackend()), expected, tolerance, "\(what), \(backwards)")
        }
    }

    @Test func attendsToEverything() throws {
        for (element, width, tolerance) in [
            (CacheElement.float32, 20, 1e-5 as Float), (.float16, 16, 3e-3), (.bfloat16, 64, 2e-2),
        ] {
            for (keys, queries) in [([5, 300], [5, 300]), ([40, 9], [70, 70]), ([1], [1])] {
                try compare(tolerance, "\(element), \(queries) to \(keys)") { backend in
                    var noise = Noise(3)
                    let layout = CacheLayout(layers: 1, heads: 2, keyWidth: width, valueWidth: width)
                    let total = keys.reduce(0, +), rows = queries.reduce(0, +)
                    let cache = try backend.makeCache(layout, slots: total, element: element)
                    var (sequences, row, slot): ([ForwardPass.Sequence], Int, Int) = ([], 0, 0)
                    for (keys, queries) in zip(keys, queries) {
                        sequences.append(
                            .init(
                                rows: row..<row + queries,
                                contextSlots: (slot..<slot + keys).map { Int32($0) }))
                        (row, slot) = (row + queries, slot + keys)
                    }
                    let zeros = [Int32](repeating: 0, count: rows)
                    let pass = ForwardPass(
                        tokens: zeros, positions: zeros, lengths: zeros,
                        newSlots: (0..<total).map { Int32($0) }, sequences: sequences, sampledRows: [],
                        cache: cache, backend: backend)
                    let shape = AttentionShape(
                        queryHeads: 2, keyValueHeads: 2, keyWidth: width, valueWidth: width, scale: 0.5,
                        reach: .everything)
                    let (q, k, v) = (
                        noise.rows(rows, 2 * width), noise.rows(total, 2 * width),
                        noise.rows(total, 2 * width)
                    )
                    return backend.rows(
                        pass.attend(
                            backend.matrix(q), backend.matrix(k), backend.matrix(v), shape, layer: 0))
                }
            }
        }
    }

    @Test func turnsByPositionsOnSeveralAxesScalesColumnsAndWritesRows() throws {
        var noise = Noise(4)
        let (x, factors, values) = (noise.rows(5, 28), noise.rows(1, 14), noise.floats(28))
        let rotation = Rotation(
            frequencies: .fixed((0..<6).map { 1 / Float($0 + 1) }), columns: 1..<13, pairing: .halves,
            axes: [0, 0, 2, 1, 1, 2])
        try compare(2e-6, "three axes") { backend in
            let y = backend.matrix(x)
            let table = backend.makeRotationTable(
                rotation, positions: (0..<15).map { Int32($0 * $0 % 23) }, lengths: [1, 1, 1, 1, 1])
            backend.rotate(y, heads: 2, by: table)
            backend.scaleColumns(y.columns(14..<28), by: backend.matrix(factors))
            backend.write(values[...], into: y.rows(3..<4))
            return backend.rows(y)
        }
    }
}
