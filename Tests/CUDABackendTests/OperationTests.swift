import CCUDAHost
import CUDABackend
import CUDARuntime
import Foundation
import ReferenceBackend
import Tensors
import Testing

/// Every operation against the reference, with the threads of a block in both orders.
@Suite(.serialized) struct OperationTests {
    private func compare(
        _ tolerance: Float, _ what: String, products: ProductKernels? = nil,
        _ operation: (any Backend) throws -> [[Float]]
    ) throws {
        let expected = try operation(ReferenceBackend())
        for backwards in [false, true] {
            cuda_host_set_backwards(backwards)
            defer { cuda_host_set_backwards(false) }
            let backend = try makeHostBackend(products: products)
            expectClose(try operation(backend), expected, tolerance, "\(what), backwards: \(backwards)")
        }
    }

    @Test(arguments: [Encoding.float32, .bfloat16, .float16], ProductKernels.allCases)
    func products(_ encoding: Encoding, _ kernels: ProductKernels) throws {
        for (rows, inputs, outputs) in [
            (1, 8, 3), (5, 100, 70), (17, 64, 130), (70, 200, 65), (130, 64, 257),
        ] {
            var noise = Noise(rows)
            let (x, w) = (noise.rows(rows, inputs), noise.rows(outputs, inputs))
            let bias = noise.floats(outputs)
            // Products in 16 bits round their inputs.
            try compare(
                encoding == .float32 ? 1e-5 : encoding == .bfloat16 ? 3e-2 : 4e-3,
                "\(rows)x\(inputs)x\(outputs)", products: kernels
            ) {
                backend in
                let parts = [Array(w.prefix(outputs / 2)), Array(w.suffix(outputs - outputs / 2))]
                let y = backend.makeMatrix(rows: rows, columns: outputs)
                backend.linear(
                    backend.matrix(x),
                    backend.makeWeight(parts.filter { !$0.isEmpty }.map { weight($0, encoding) }),
                    bias: backend.matrix([bias]), into: y)
                return backend.rows(y)
            }
        }
    }

    /// Cut into segments, which several blocks or one compute, by way of tiles of all sizes: the same bits.
    @Test(arguments: ProductKernels.allCases)
    func productsDoNotDependOnTheRows(_ kernels: ProductKernels) throws {
        var noise = Noise(3)
        let (inputs, outputs) = (1100, 100)
        let (x, w) = (noise.rows(140, inputs), noise.rows(outputs, inputs))
        let backend = try makeHostBackend(products: kernels)
        let weight = backend.makeWeight([weight(w, .bfloat16)])
        func product(_ rows: Range<Int>) -> [[UInt32]] {
            let y = backend.makeMatrix(rows: rows.count, columns: outputs)
            backend.linear(backend.matrix(Array(x[rows])), weight, bias: nil, into: y)
            return backend.rows(y).map { $0.map(\.bitPattern) }
        }
        let all = product(0..<140)
        for rows in [0..<1, 3..<20, 100..<140, 7..<72] { #expect(product(rows) == Array(all[rows])) }
    }

    @Test func rowOperations() throws {
        for columns in [1, 33, 64, 200] {
            var noise = Noise(columns)
            let (a, b, w) = (noise.rows(5, columns), noise.rows(5, columns), noise.floats(columns))
            try compare(1e-5, "add") { $0.rows($0.matrix(a) + $0.matrix(b)) }
            try compare(1e-5, "norm") { backend in
                let y = backend.makeMatrix(rows: 5, columns: columns)
                backend.rmsNorm(backend.matrix(a), weight: backend.matrix([w]), epsilon: 1e-5, into: y)
                let (sum, normed) = backend.addThenRMSNorm(
                    backend.matrix(a), backend.matrix(b), weight: backend.matrix([w]), epsilon: 1e-5)
                return backend.rows(y) + backend.rows(sum) + backend.rows(normed)
            }
            try compare(2e-6, "gated") { backend in
                Activation.allCases.flatMap { function in
                    let y = backend.makeMatrix(rows: 5, columns: columns)
                    backend.gated(backend.matrix(a), backend.matrix(b), function, into: y)
                    return backend.rows(y)
                }
            }
            try compare(1e-5, "other norms") { backend in
                let y = backend.makeMatrix(rows: 5, columns: columns)
                let weight = backend.matrix([w])
                backend.layerNorm(backend.matrix(a), weight: weight, bias: weight, epsilon: 1e-5, into: y)
                let first = backend.rows(y)
                backend.layerNorm(backend.matrix(a), weight: weight, bias: nil, epsilon: 1e-5, into: y)
                return first + backend.rows(y)
            }
            try compare(2e-6, "elements") { backend in
                var results: [[Float]] = []
                func apply(_ operation: (Matrix) -> Void) {
                    let y = backend.matrix(a)
                    operation(y)
                    results += backend.rows(y)
                }
                for function in Activation.allCases { apply { backend.activate($0, function, into: $0) } }
                apply { backend.clamp($0, to: -0.2...0.4) }
                apply { backend.softcap($0, at: 0.5) }
                apply { backend.scale($0, by: [1, 2, 3, -4, 0]) }
                apply { backend.scale($0, by: 0.25) }
                apply { backend.scale($0, bySigmoidOf: backend.matrix(b.map { [$0[0]] })) }
                return results
            }
            try compare(0, "gather") { backend in
                let y = backend.makeMatrix(rows: 3, columns: columns)
                backend.gatherRows([4, 0, 4], of: backend.matrix(a), into: y)
                return backend.rows(y)
            }
            for encoding in [Encoding.float32, .bfloat16, .float16] {
                try compare(0, "embed") { backend in
                    let y = backend.makeMatrix(rows: 4, columns: columns)
                    backend.embed([3, 0, 4, 3], backend.makeTable(weight(a, encoding)), into: y)
                    return backend.rows(y)
                }
            }
        }
    }

    /// What an operation packs beside its result is what a product takes, padding included.
    @Test func packedCopiesAreUsed() throws {
        var noise = Noise(9)
        let (x, w, weights) = (noise.rows(3, 70), noise.floats(70), noise.rows(9, 70))
        try compare(2e-2, "product of a norm") { backend in
            let weight = backend.makeWeight([weight(weights, .bfloat16)])
            let normed = backend.makeMatrix(rows: 3, columns: 70), y = backend.makeMatrix(rows: 3, columns: 9)
            backend.rmsNorm(backend.matrix(x), weight: backend.matrix([w]), epsilon: 1e-5, into: normed)
            backend.linear(normed, weight, bias: nil, into: y)
            let first = backend.rows(y)
            // Written anew, the copy no longer holds.
            backend.add(backend.matrix(x), backend.matrix(x), into: normed)
            backend.linear(normed, weight, bias: nil, into: y)
            return first + backend.rows(y)
        }
    }

    @Test func headsAreNormalized() throws {
        var noise = Noise(6)
        let (x, w) = (noise.rows(3, 5 * 24), noise.floats(5 * 24))
        try compare(1e-5, "heads") { backend in
            var results: [[Float]] = []
            for statistic in [HeadStatistic.rootMeanSquare, .deviation] {
                for weights in [w, Array(w.prefix(24))] {
                    let y = backend.matrix(x)
                    backend.normalizeHeads(
                        y, heads: 5, by: statistic, weight: backend.matrix([weights]), epsilon: 1e-5)
                    results += backend.rows(y)
                }
            }
            return results
        }
    }

    @Test func rotations() throws {
        var noise = Noise(4)
        let x = noise.rows(3, 3 * 40)
        for pairing in [Rotation.Pairing.halves, .neighbours] {
            for frequencies in [
                Rotation.Frequencies.fixed((0..<8).map { 1 / Float($0 + 1) }),
                .byLength { length in (0..<8).map { Float(length) / Float($0 + 7) } },
            ] {
                let rotation = Rotation(
                    frequencies: frequencies, magnitude: 1.5, longer: (than: 5, magnitude: 0.5),
                    columns: 8..<24, pairing: pairing)
                try compare(2e-6, "rotation") { backend in
                    let y = backend.matrix(x)
                    let table = backend.makeRotationTable(
                        rotation, positions: [0, 7, 90], lengths: [3, 8, 3])
                    backend.rotate(y, heads: 3, by: table)
                    return backend.rows(y)
                }
            }
        }
    }
}
