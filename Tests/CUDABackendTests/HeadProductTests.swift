import CCUDAHost
import CUDABackend
import Foundation
import GPUCheck
import LightLLM
import ReferenceBackend
import Tensors
import Testing
import Weights

/// Products of heads that have weights of their own, computed together.
@Suite(.serialized) struct HeadProductTests {
    /// The weights of heads, and how many columns each head has in the matrices that are multiplied and written.
    private struct Heads {
        let inputs: Int
        let outputs: Int
        let weights: [HostWeight]
        let (xStep, yStep): (Int, Int)

        /// Heads take turns with the encodings.
        init(_ count: Int, inputs: Int, outputs: Int, _ encodings: [Encoding], apart: Int = 0) {
            var noise = Noise(count)
            (self.inputs, self.outputs) = (inputs, outputs)
            (xStep, yStep) = (inputs + apart, outputs + 2 * apart)
            weights = (0..<count).map { head in
                let encoding = encodings[head % encodings.count]
                if encoding.blockElements > 1 {
                    return .random(encoding, outputs: outputs, inputs: inputs, scale: 0.1, seed: head)
                }
                return weight(noise.rows(outputs, inputs).map { $0.map { $0 / 8 } }, encoding)
            }
        }

        func weights(on backend: any Backend, _ form: (HostWeight) -> HostWeight = { $0 }) -> HeadWeights {
            HeadWeights(weights.map { backend.makeWeight([form($0)]) }, on: backend)
        }

        func rows(_ count: Int, seed: Int = 1) -> [[Float]] {
            var noise = Noise(seed)
            return noise.rows(count, weights.count * xStep)
        }

        /// All columns of the product, also those that nobody writes, which were 7. Both matrices are columns among others.
        func product(_ backend: any Backend, _ weights: HeadWeights, _ x: [[Float]]) -> [[Float]] {
            let x = backend.matrix(x.map { [9] + $0 + [9, 9] })
            let columns = self.weights.count * yStep
            let y = backend.matrix(Array(repeating: Array(repeating: 7, count: columns + 3), count: x.rows))
            backend.linear(
                x.columns(1..<x.columns - 2), heads: weights, into: y.columns(2..<2 + columns))
            return backend.rows(y)
        }
    }

    /// Both ways to run the threads of a block.
    private func inEitherOrder(_ body: () -> Void) {
        defer { cuda_host_set_backwards(false) }
        for backwards in [false, true] {
            cuda_host_set_backwards(backwards)
            body()
        }
    }

    @Test(
        arguments: [ProductKernels.warps, .groups],
        [
            [Encoding.float32], [.bfloat16], [.float16], [.bfloat16, .float32, .float16],
        ])
    func equalsTheReference(_ products: ProductKernels, _ encodings: [Encoding]) throws {
        let (host, reference) = (try makeHostBackend(products: products), ReferenceBackend())
        for (heads, rows) in [
            (Heads(5, inputs: 70, outputs: 40, encodings, apart: 3), 1),
            (Heads(4, inputs: 16, outputs: 130, encodings), 19),
            (Heads(3, inputs: 64, outputs: 7, encodings), 40),
            (Heads(1, inputs: 65, outputs: 64, encodings, apart: 1), 70),
            (Heads(3, inputs: 24, outputs: 33, encodings, apart: 8), 131),
        ] {
            let (ours, x) = (heads.weights(on: host), heads.rows(rows))
            let expected = heads.product(reference, heads.weights(on: reference), x)
            inEitherOrder {
                expectClose(
                    heads.product(host, ours, x), expected, encodings == [.float32] ? 1e-5 : 2e-2,
                    "\(rows) rows, \(heads.weights.count) heads of \(heads.inputs)x\(heads.outputs)")
            }
        }
        #expect(host.failure == nil)
    }

    /// Weights of few bits, and heads that have other kinds of them than their neighbours, or plain numbers.
    @Test(
        arguments: [
            [Encoding.q4_0], [.q6_K], [.q4_K, .q8_0, .bfloat16, .q3_K, .float32, .q4_K],
            [.q4_1, .q5_0, .q5_1, .q2_K, .q5_K],
        ])
    func blocksOfFewBits(_ encodings: [Encoding]) throws {
        let (host, reference) = (try makeHostBackend(), ReferenceBackend())
        let heads = Heads(encodings.count + 1, inputs: 256, outputs: 72, encodings, apart: 4)
        let ours = heads.weights(on: host)
        for rows in [1, 17, 70] {
            let x = heads.rows(rows)
            let whole = heads.product(host, ours, x)
            expectClose(
                whole, heads.product(reference, heads.weights(on: reference, plain), x), 2e-2,
                "\(encodings), \(rows) rows")
            inEitherOrder { #expect(heads.product(host, ours, [x[rows / 2]]) == [whole[rows / 2]]) }
        }
        #expect(host.failure == nil)
    }

    /// Rows that lie among few and among many, for which blocks of other shapes serve.
    @Test(arguments: [ProductKernels.warps, .groups], [Encoding.bfloat16, .float16, .float32])
    func rowsDoNotDependOnOthers(_ products: ProductKernels, _ encoding: Encoding) throws {
        let heads = Heads(2, inputs: 128, outputs: 260, [encoding])
        let host = try makeHostBackend(products: products)
        let (weights, x) = (heads.weights(on: host), heads.rows(300))
        let whole = heads.product(host, weights, x)
        inEitherOrder {
            for rows in [0..<1, 3..<20, 20..<60, 0..<130] {
                #expect(heads.product(host, weights, Array(x[rows])) == Array(whole[rows]), "\(rows)")
            }
        }
        #expect(host.failure == nil)
    }

    /// What the calling thread launches in `body`.
    private func launches(_ body: () -> Void) -> Int {
        let before = cuda_host_counted().launches
        body()
        return cuda_host_counted().launches - before
    }

    /// Rows are packed once, and each encoding is one product, however many heads there are.
    @Test(arguments: [([Encoding.bfloat16], 2), ([.float32], 1), ([.q8_0, .float16, .q8_0], 3)])
    func launchesDoNotDependOnHeads(_ encodings: [Encoding], _ expected: Int) throws {
        let host = try makeHostBackend()
        for count in [3, 24] {
            let heads = Heads(count, inputs: 32, outputs: 32, encodings)
            let (weights, x) = (heads.weights(on: host), host.matrix(heads.rows(3)))
            let y = host.makeMatrix(rows: 3, columns: count * heads.yStep)
            #expect(launches { host.linear(x, heads: weights, into: y) } == expected)
            let parts = y.reshaped(columns: heads.yStep)
            #expect(launches { parts.columns(0..<9).copy(parts.columns(9..<18)) } == 1)
        }
    }

    /// A model with latent attention, whose heads each would take six launches alone.
    @Test func aStepTakesFewLaunches() throws {
        let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("Fixtures/goldens/models/tiny_deepseek_v2").path
        let backend = try makeHostBackend(graphs: nil)
        let run = try TokenByToken(
            LoadedModel(checkpoint: openCheckpoint(folder), backend: backend),
            prompts: [[1, 5, 9, 2], [7, 3]],
            most: 8, isRecorded: false)
        for members in [[0], [0, 1]] {
            let count = launches { _ = run.step(members) }
            // One launch for each of four heads in both layers, in place of one for all, would be 54.
            #expect(count < 54)
        }
        #expect(backend.failure == nil)
    }
}
