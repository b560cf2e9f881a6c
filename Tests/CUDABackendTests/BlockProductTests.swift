import CCUDAHost
import CPUBackend
import CUDABackend
import GPUCheck
import ReferenceBackend
import Tensors
import Testing

/// Weights of few bits, which the device keeps so.
@Suite(.serialized) struct BlockProductTests {
    private static let encodings = Encoding.allCases.filter { $0.blockElements > 1 }

    /// The operation gets weights in the form that its backend takes: the reference knows plain numbers alone.
    private func compare(
        _ tolerance: Float, _ what: String,
        _ operation: (any Backend, _ form: (HostWeight) -> HostWeight) throws -> [[Float]]
    ) throws {
        let expected = try operation(ReferenceBackend(), plain)
        for backwards in [false, true] {
            cuda_host_set_backwards(backwards)
            defer { cuda_host_set_backwards(false) }
            expectClose(
                try operation(makeHostBackend(), { $0 }), expected, tolerance,
                "\(what), backwards: \(backwards)")
        }
    }

    /// Parts that end within a strip of sixteen outputs, and inputs that end within a tile.
    @Test(arguments: encodings) func productsAreTheReferences(_ encoding: Encoding) throws {
        let block = encoding.blockElements
        for (rows, inputs, outputs) in [
            (1, 1, [3]), (5, 3, [37, 20, 7]), (20, 2, [70]), (70, 1, [16, 49]), (130, 1, [129, 11]),
        ] {
            var noise = Noise(rows)
            let inputs = inputs * block
            let x = noise.rows(rows, inputs), bias = noise.floats(outputs.reduce(0, +))
            let parts = outputs.enumerated().map { index, count in
                HostWeight.random(encoding, outputs: count, inputs: inputs, scale: 0.5, seed: index)
            }
            // A minimum that takes most of a number away leaves its rounding.
            try compare(
                block == 256 ? 1e-2 : 4e-3,
                "\(encoding) \(rows)x\(inputs)x\(outputs)"
            ) { backend, form in
                let y = backend.makeMatrix(rows: rows, columns: bias.count)
                backend.linear(
                    backend.matrix(x), backend.makeWeight(parts.map(form)), bias: backend.matrix([bias]),
                    into: y)
                return backend.rows(y)
            }
        }
    }

    /// Each number of a weight by itself, by rows that pick one.
    @Test(arguments: encodings) func numbersAreUnpacked(_ encoding: Encoding) throws {
        let inputs = encoding.blockElements * (encoding.blockElements == 32 ? 5 : 1)
        let weight = HostWeight.random(encoding, outputs: 19, inputs: inputs, scale: 1, seed: 4)
        let x = (0..<inputs).map { input in (0..<inputs).map { Float($0 == input ? 1 : 0) } }
        // Scales, products with them and sums with minima are rounded to float16.
        try compare(3e-3, "\(encoding)") { backend, form in
            let y = backend.makeMatrix(rows: inputs, columns: 19)
            backend.linear(backend.matrix(x), backend.makeWeight([form(weight)]), bias: nil, into: y)
            return backend.rows(y)
        }
    }

    /// Parts of several encodings side by side.
    @Test func encodingsAreMixed() throws {
        var noise = Noise(8)
        let x = noise.rows(3, 256), plain = noise.rows(9, 256)
        let parts = [
            HostWeight.random(.q4_K, outputs: 24, inputs: 256, scale: 0.5, seed: 1),
            HostWeight.random(.q6_K, outputs: 8, inputs: 256, scale: 0.5, seed: 2),
            weight(plain, .float16),
            HostWeight.random(.q6_K, outputs: 8, inputs: 256, scale: 0.5, seed: 3),
        ]
        try compare(4e-3, "mixed") { backend, form in
            let y = backend.makeMatrix(rows: 3, columns: 49)
            backend.linear(backend.matrix(x), backend.makeWeight(parts.map(form)), bias: nil, into: y)
            return backend.rows(y)
        }
    }

    /// Cut into segments, which several blocks or one compute, by way of tiles of all sizes: the same bits.
    @Test(arguments: [Encoding.q4_1, .q5_0, .q8_0, .q2_K, .q6_K])
    func productsDoNotDependOnTheRows(_ encoding: Encoding) throws {
        var noise = Noise(3)
        let (inputs, outputs) = (1280, 100)
        let x = noise.rows(140, inputs)
        let backend = try makeHostBackend()
        let weight = backend.makeWeight([
            HostWeight.random(encoding, outputs: outputs, inputs: inputs, scale: 0.1, seed: 5)
        ])
        func product(_ rows: Range<Int>) -> [[UInt32]] {
            let y = backend.makeMatrix(rows: rows.count, columns: outputs)
            backend.linear(backend.matrix(Array(x[rows])), weight, bias: nil, into: y)
            return backend.rows(y).map { $0.map(\.bitPattern) }
        }
        let all = product(0..<140)
        for rows in [0..<1, 3..<20, 100..<140, 7..<72] { #expect(product(rows) == Array(all[rows])) }
    }

    @Test(arguments: encodings) func tablesAreLookedUp(_ encoding: Encoding) throws {
        let columns = 3 * encoding.blockElements
        let table = HostWeight.random(encoding, outputs: 7, inputs: columns, scale: 1, seed: 6)
        try compare(0, "\(encoding)") { backend, form in
            let y = backend.makeMatrix(rows: 4, columns: columns)
            backend.embed([6, 0, 3, 6], backend.makeTable(form(table)), into: y)
            return backend.rows(y)
        }
    }

    /// Few bits take about what they take in the file.
    @Test(arguments: encodings) func sizesAreTheFiles(_ encoding: Encoding) throws {
        let inFile = try #require(encoding.rowBytes(4096)) * 4096
        let taken = CUDABackend.weightBytes(encoding, outputs: 4096, inputs: 4096)
        #expect(taken >= inFile && taken * 100 <= inFile * 108, "\(taken) bytes for \(inFile)")
    }
}
