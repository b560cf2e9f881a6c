import CPUBackend
import CUDABackend
import CUDARuntime
import JSON
import Tensors

extension GPUCheck {
    /// Inputs and outputs of a head's products, in DeepSeek-V2-Lite.
    static let latentHeads = [(128, 512), (512, 128)]
    private static let heads = 16

    /// Products of heads against the CPU backend, and rows alone.
    static func checkHeads(
        _ inputs: Int, _ outputs: Int, _ backend: CUDABackend, rows count: Int, _ recorder: Recorder
    ) throws {
        let shape = "\(heads) heads of \(inputs)x\(outputs)"
        for encoding in [Encoding.bfloat16, .float16, .float32, .q8_0] {
            func weights(on backend: any Backend) -> HeadWeights {
                HeadWeights(
                    (0..<heads).map { head in
                        if encoding.blockElements > 1 {
                            return backend.makeWeight([
                                .random(
                                    encoding, outputs: outputs, inputs: inputs, scale: 0.06, seed: head)
                            ])
                        }
                        var noise = Noise(head)
                        let floats = noise.floats(inputs * outputs).map { $0 / 16 }
                        return backend.makeWeight([hostWeight(floats, columns: inputs, encoding)])
                    }, on: backend)
            }
            var noise = Noise(inputs)
            let rows = noise.floats(count * heads * inputs)
            func product(_ backend: any Backend, _ weights: HeadWeights, _ part: Range<Int>) -> [Float] {
                let width = heads * inputs
                let x = Array(rows[part.lowerBound * width..<part.upperBound * width])
                let y = backend.makeMatrix(rows: part.count, columns: heads * outputs)
                backend.linear(backend.matrix(x, columns: width), heads: weights, into: y)
                return backend.values(y)
            }
            let (ours, processor) = (weights(on: backend), CPUBackend())
            let all = product(backend, ours, 0..<count)
            recorder.check(
                "\(shape) \(encoding)",
                error: meanError(all, product(processor, weights(on: processor), 0..<count)),
                tolerance: roundingError(encoding))
            let width = heads * outputs
            for part in someRows(of: count) {
                recorder.check(
                    "\(shape) \(encoding), rows \(part) alone",
                    product(backend, ours, part)
                        == Array(all[part.lowerBound * width..<part.upperBound * width]))
            }
        }
    }

    /// Together, and head by head.
    static func measureHeads(
        _ inputs: Int, _ outputs: Int, _ backend: CUDABackend, _ recorder: Recorder
    ) throws {
        let weights = HeadWeights(
            try (0..<heads).map { head in
                let numbers = try backend.randomNumbers(count: inputs * outputs, scale: 0.02, seed: head)
                return WeightMatrix(
                    inputs: inputs,
                    parts: [WeightMatrix.Part(outputs: outputs, encoding: .bfloat16, buffer: numbers)])
            }, on: backend)
        for rows in [1, 16, 128, 512, 2048] {
            var noise = Noise(rows)
            let x = backend.matrix(noise.floats(rows * heads * inputs), columns: heads * inputs)
            let y = backend.makeMatrix(rows: rows, columns: heads * outputs)
            func microseconds(_ operation: () -> Void) throws -> Double {
                for _ in 0..<3 { operation() }
                return try backend.stream.time { for _ in 0..<20 { operation() } } / 20 * 1000
            }
            let together = try microseconds { backend.linear(x, heads: weights, into: y) }
            let each = try microseconds {
                for (head, weight) in weights.weights.enumerated() {
                    backend.linear(
                        x.columns(head * inputs..<(head + 1) * inputs), weight, bias: nil,
                        into: y.columns(head * outputs..<(head + 1) * outputs))
                }
            }
            recorder.record(
                "\(heads) heads of \(inputs)x\(outputs), \(rows) rows",
                [
                    "us": .number(together), "us head by head": .number(each),
                    "TFLOP/s": .number(Double(2 * rows * heads * inputs * outputs) / together / 1e6),
                ])
        }
    }
}
