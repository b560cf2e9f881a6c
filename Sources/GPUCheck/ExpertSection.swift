import CPUBackend
public import CUDABackend
import CUDARuntime
import JSON
import Tensors

extension GPUCheck {
    /// A mixture of experts as a model has it.
    private struct Mixture {
        let name: String
        let experts: Int
        let chosen: Int
        let width: Int
        let inner: Int
    }

    /// Mixtures of models: time by rows, with random scores. Then heads of latent attention.
    static func measureExperts(_ backend: CUDABackend, _ recorder: Recorder) throws {
        for mixture in [
            Mixture(name: "Mixtral-8x7B", experts: 8, chosen: 2, width: 4096, inner: 14_336),
            Mixture(name: "Qwen3-30B-A3B", experts: 128, chosen: 8, width: 2048, inner: 768),
            Mixture(name: "DeepSeek-V2-Lite", experts: 64, chosen: 6, width: 2048, inner: 1408),
        ] {
            try measure(mixture, backend, recorder)
        }
        for (inputs, outputs) in latentHeads { try measureHeads(inputs, outputs, backend, recorder) }
    }

    /// A small mixture of `count` rows, and heads of latent attention, against the CPU backend; rows alone.
    public static func checkExperts(
        _ backend: CUDABackend, rows count: Int = 300, _ recorder: Recorder
    ) throws {
        for encoding in [Encoding.bfloat16, .float16, .float32, .q4_K] {
            let (scores, x) = (Noise.floats(7, count * 16), Noise.floats(8, count * 256))
            let rule = RoutingRule(chosen: 4, normalizes: true)
            func mixed(_ backend: any Backend, _ rows: Range<Int>) throws -> [Float] {
                let experts = try randomExperts(
                    Mixture(name: "small", experts: 16, chosen: 4, width: 256, inner: 256), encoding, backend)
                let y = backend.makeMatrix(rows: rows.count, columns: 256)
                backend.mixExperts(
                    backend.matrix(Array(x[rows.lowerBound * 256..<rows.upperBound * 256]), columns: 256),
                    scores: backend.matrix(
                        Array(scores[rows.lowerBound * 16..<rows.upperBound * 16]), columns: 16),
                    rule, experts, into: y)
                return backend.values(y)
            }
            let all = try mixed(backend, 0..<count)
            recorder.check(
                "experts \(encoding)", error: meanError(all, try mixed(CPUBackend(), 0..<count)),
                tolerance: roundingError(encoding))
            for rows in someRows(of: count) {
                let part = Array(all[rows.lowerBound * 256..<rows.upperBound * 256])
                recorder.check(
                    "experts \(encoding), rows \(rows) alone",
                    error: part == (try mixed(backend, rows)) ? 0 : 1, tolerance: 0)
            }
        }
        for (inputs, outputs) in latentHeads {
            try checkHeads(inputs, outputs, backend, rows: count, recorder)
        }
    }

    /// Of the mean square, relative to results: what rounding rows to the type of products makes. The processor rounds those
    /// of weights of few bits to 8 bits.
    static func roundingError(_ encoding: Encoding) -> Double {
        switch encoding {
        case .float32: 1e-5
        case .float16: 2e-3
        case .bfloat16: 1e-2
        default: 3e-2
        }
    }

    /// One row, a few, and many.
    static func someRows(of count: Int) -> [Range<Int>] {
        [0..<1, count / 8..<count / 5, count / 3..<count * 3 / 4]
    }

    private static func measure(_ mixture: Mixture, _ backend: CUDABackend, _ recorder: Recorder) throws {
        let experts = try deviceExperts(mixture, backend)
        let rule = RoutingRule(chosen: mixture.chosen, normalizes: true)
        for rows in [1, 16, 128, 512, 2048] {
            let x = backend.matrix(Noise.floats(rows, rows * mixture.width), columns: mixture.width)
            let scores = backend.matrix(
                Noise.floats(rows + 1, rows * mixture.experts), columns: mixture.experts)
            let y = backend.makeMatrix(rows: rows, columns: mixture.width)
            func turn(_ count: Int) {
                for _ in 0..<count { backend.mixExperts(x, scores: scores, rule, experts, into: y) }
            }
            turn(3)
            let milliseconds = try backend.stream.time { turn(20) } / 20
            let one = 3 * mixture.width * mixture.inner
            // As many as random choices leave without a row on average.
            var idle = 1.0
            for _ in 0..<rows { idle *= 1 - Double(mixture.chosen) / Double(mixture.experts) }
            let busy = Double(mixture.experts) * (1 - idle)
            recorder.record(
                "\(mixture.name) layer, \(rows) rows",
                [
                    "us": .number(milliseconds * 1000),
                    "GB/s of the chosen": .number(busy * Double(2 * one) / milliseconds / 1e6),
                    "TFLOP/s": .number(Double(2 * rows * mixture.chosen) * Double(one) / milliseconds / 1e9),
                ])
        }
    }

    private static func randomExperts(
        _ mixture: Mixture, _ encoding: Encoding, _ backend: any Backend
    ) throws -> ExpertWeights {
        func weight(_ outputs: Int, _ inputs: Int, _ seed: Int) -> WeightMatrix {
            if encoding.blockElements > 1 {
                return backend.makeWeight([
                    .random(encoding, outputs: outputs, inputs: inputs, scale: 0.06, seed: seed)
                ])
            }
            let floats = Noise.floats(seed, outputs * inputs).map { $0 / 16 }
            return backend.makeWeight([hostWeight(floats, columns: inputs, encoding)])
        }
        return ExpertWeights(
            experts: (0..<mixture.experts).map {
                .init(
                    gateUp: weight(2 * mixture.inner, mixture.width, $0),
                    down: weight(mixture.width, mixture.inner, 100 + $0))
            }, activation: .silu, on: backend)
    }

    /// Experts whose numbers are made on the device.
    private static func deviceExperts(_ mixture: Mixture, _ backend: CUDABackend) throws -> ExpertWeights {
        func weight(_ outputs: Int, _ inputs: Int, _ seed: Int) throws -> WeightMatrix {
            WeightMatrix(
                inputs: inputs,
                parts: [
                    WeightMatrix.Part(
                        outputs: outputs, encoding: .bfloat16,
                        buffer: try backend.randomNumbers(count: inputs * outputs, scale: 0.02, seed: seed))
                ])
        }
        return ExpertWeights(
            experts: try (0..<mixture.experts).map {
                .init(
                    gateUp: try weight(2 * mixture.inner, mixture.width, $0),
                    down: try weight(mixture.width, mixture.inner, 1000 + $0))
            }, activation: .silu, on: backend)
    }
}

extension Noise {
    fileprivate static func floats(_ seed: Int, _ count: Int) -> [Float] {
        var noise = Noise(seed)
        return noise.floats(count)
    }
}
