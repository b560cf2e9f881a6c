import CPUBackend
import Foundation
public import Tensors

/// Every operation of a backend against the CPU backend's.
public struct OperationCheck {
    /// Shapes that are tried.
    public struct Shapes: Sendable {
        /// Rows and columns.
        var rows: [(Int, Int)]
        /// Rows, inputs and outputs.
        var products: [(Int, Int, Int)]
        var vocabularies: [Int]
        /// Key-value heads, query heads of each, columns, reach.
        var heads: [(Int, Int, Int, AttentionShape.Reach)]
        var contexts: [Int]

        /// As models have them.
        public static let models = Shapes(
            rows: [(1, 4090), (37, 1000), (130, 5120)],
            products: [
                (1, 4096, 4096), (7, 4096, 12288), (16, 11008, 4096), (33, 1000, 300), (64, 4096, 22016),
                (128, 4096, 4096), (200, 4096, 4096), (515, 2048, 5632), (2048, 512, 4096),
            ], vocabularies: [100, 32_000, 151_936],
            heads: [
                (32, 1, 128, .causal), (8, 4, 128, .causal), (4, 7, 64, .causalWindow(300)),
                (2, 2, 96, .causal),
                (2, 4, 256, .causal), (3, 1, 40, .causal),
            ], contexts: [1, 77, 300, 1100])
        public static let small = Shapes(
            rows: [(3, 100)],
            products: [
                (1, 600, 70), (20, 128, 130), (70, 64, 33), (130, 64, 260), (18, 512, 40),
            ],
            vocabularies: [1500],
            heads: [(2, 3, 64, .causal), (1, 2, 16, .causalWindow(40)), (2, 1, 20, .causal)],
            contexts: [1, 30, 270])
    }

    private let ours: any Backend
    private let reference: any Backend = CPUBackend()
    private let shapes: Shapes
    private let recorder: Recorder

    public init(_ backend: any Backend, _ shapes: Shapes, _ recorder: Recorder) {
        (ours, self.shapes, self.recorder) = (backend, shapes, recorder)
    }

    public func run() throws {
        rows()
        products()
        sampling()
        try attention()
    }

    private func compare(_ name: String, _ tolerance: Double, _ operation: (any Backend) throws -> [Float])
        rethrows
    {
        recorder.check(
            name, error: largestError(try operation(ours), try operation(reference)), tolerance: tolerance)
    }

    private func rows() {
        for (rows, columns) in shapes.rows {
            var noise = Noise(rows)
            let (a, b, w) = (
                noise.floats(rows * columns), noise.floats(rows * columns), noise.floats(columns)
            )
            let shape = "\(rows)x\(columns)"
            compare("add \(shape)", 0) { backend in
                backend.values(backend.matrix(a, columns: columns) + backend.matrix(b, columns: columns))
            }
            compare("norm \(shape)", 1e-5) { backend in
                let weight = backend.matrix(w, columns: columns)
                let (sum, normed) = backend.addThenRMSNorm(
                    backend.matrix(a, columns: columns), backend.matrix(b, columns: columns), weight: weight,
                    epsilon: 1e-5)
                return backend.values(sum) + backend.values(normed)
            }
            compare("layer norm \(shape)", 1e-5) { backend in
                let (y, weight) = (
                    backend.makeMatrix(rows: rows, columns: columns), backend.matrix(w, columns: columns)
                )
                backend.layerNorm(
                    backend.matrix(a, columns: columns), weight: weight, bias: weight, epsilon: 1e-5, into: y)
                return backend.values(y)
            }
            compare("heads, caps and bounds \(shape)", 2e-5) { backend in
                let y = backend.matrix(a, columns: columns)
                backend.normalizeHeads(
                    y, heads: 10, by: .rootMeanSquare, weight: backend.matrix(w, columns: columns),
                    epsilon: 1e-5)
                backend.softcap(y, at: 2)
                backend.clamp(y, to: -1...1)
                backend.scale(y, by: 0.5)
                return backend.values(y)
            }
            for function in Activation.allCases {
                compare("gated \(function) \(shape)", 1e-5) { backend in
                    let y = backend.makeMatrix(rows: rows, columns: columns)
                    backend.gated(
                        backend.matrix(a, columns: columns), backend.matrix(b, columns: columns), function,
                        into: y)
                    return backend.values(y)
                }
            }
            compare("embed \(shape)", 0) { backend in
                let y = backend.makeMatrix(rows: 3, columns: columns)
                backend.embed(
                    [Int32(rows - 1), 0, Int32(rows / 2)],
                    backend.makeTable(hostWeight(a, columns: columns, .bfloat16)), into: y)
                return backend.values(y)
            }
        }
    }

    private func products() {
        for (rows, inputs, outputs) in shapes.products {
            var noise = Noise(rows)
            let x = noise.floats(rows * inputs)
            let scale = 1 / Float(inputs).squareRoot()
            let weights = noise.floats(outputs * inputs).map { $0 * scale }, bias = noise.floats(outputs)
            for (encoding, tolerance) in [(Encoding.bfloat16, 2e-2), (.float16, 3e-3), (.float32, 2e-5)] {
                compare("product \(encoding) \(rows)x\(inputs)x\(outputs)", tolerance) { backend in
                    let y = backend.makeMatrix(rows: rows, columns: outputs)
                    backend.linear(
                        backend.matrix(x, columns: inputs),
                        backend.makeWeight([hostWeight(weights, columns: inputs, encoding)]),
                        bias: backend.matrix(bias, columns: outputs), into: y)
                    return backend.values(y)
                }
                checkRowsAlone(x, hostWeight(weights, columns: inputs, encoding))
            }
            for encoding in Encoding.allCases
            where encoding.blockElements > 1 && encoding.rowBytes(inputs) != nil
                && inputs * outputs <= 1 << 24
            {
                let weight = HostWeight.random(
                    encoding, outputs: outputs, inputs: inputs, scale: scale, seed: rows)
                // The processor rounds rows to 8 bits.
                compare("product \(encoding) \(rows)x\(inputs)x\(outputs)", 5e-2) { backend in
                    let y = backend.makeMatrix(rows: rows, columns: outputs)
                    backend.linear(
                        backend.matrix(x, columns: inputs), backend.makeWeight([weight]), bias: nil, into: y)
                    return backend.values(y)
                }
                checkRowsAlone(x, weight)
            }
        }
    }

    /// A row has the same bits whatever rows are beside it.
    private func checkRowsAlone(_ x: [Float], _ host: HostWeight) {
        let (inputs, outputs, weight) = (host.inputs, host.outputs, ours.makeWeight([host]))
        func product(_ rows: Range<Int>) -> [Float] {
            let y = ours.makeMatrix(rows: rows.count, columns: outputs)
            let part = Array(x[rows.lowerBound * inputs..<rows.upperBound * inputs])
            ours.linear(ours.matrix(part, columns: inputs), weight, bias: nil, into: y)
            return ours.values(y)
        }
        let rows = x.count / inputs
        let all = product(0..<rows)
        for part in [0..<1, rows / 2..<rows, max(0, rows - 17)..<rows] where !part.isEmpty {
            let expected = Array(all[part.lowerBound * outputs..<part.upperBound * outputs])
            recorder.check(
                "product \(host.encoding) \(inputs)x\(outputs), rows \(part) of \(rows) alone",
                product(part) == expected)
        }
    }

    private func sampling() {
        for columns in shapes.vocabularies {
            var noise = Noise(columns)
            let logits = noise.floats(6 * columns).map { $0 * 8 }
            var queries = (0..<6).map { LogitQuery(row: $0) }
            queries[1].leading = 50
            (queries[2].choice, queries[2].temperature) = (.drawn(at: 0.4), 0.8)
            queries[3].choice = .drawnFrom(Nucleus(count: 40, mass: 0.95, ratio: 0), at: 0.7)
            queries[4].edits = [
                LogitEdit(column: 3, .add(100)), LogitEdit(column: 5, .penalize(repetition: 1.2, minus: 0.1)),
            ]
            queries[5].choice = .column(columns - 1)
            var answers: [[LogitAnswer]] = []
            for backend in [ours, reference] {
                var result: [LogitAnswer] = []
                backend.answer(queries, on: backend.matrix(logits, columns: columns), into: &result)
                answers.append(result)
            }
            func indices(_ answers: [LogitAnswer]) -> [[Int]] {
                answers.map { [$0.choice.index] + $0.leading.map(\.index) }
            }
            func probabilities(_ answers: [LogitAnswer]) -> [Float] {
                answers.flatMap { [$0.choice.logProbability] + $0.leading.map(\.logProbability) }
            }
            recorder.check("answers among \(columns)", indices(answers[0]) == indices(answers[1]))
            recorder.check(
                "probabilities among \(columns)",
                error: largestError(probabilities(answers[0]), probabilities(answers[1])), tolerance: 1e-4)
        }
    }

    private func attention() throws {
        for (heads, group, width, reach) in shapes.heads {
            // Every other shape has scores that are capped and sloped.
            let isPlain = width % 32 == 0 && group != 7
            let shape = AttentionShape(
                queryHeads: heads * group, keyValueHeads: heads, keyWidth: width, valueWidth: width,
                scale: 1 / Float(width).squareRoot(), reach: reach, softcap: isPlain ? nil : 3,
                slopes: isPlain ? nil : (0..<heads * group).map { 0.1 / Float($0 + 1) })
            for element in CacheElement.allCases {
                let scene = AttentionScene(shape: shape, element: element, contexts: shapes.contexts)
                let name = "\(heads)x\(group) heads of \(width), \(reach), \(element)"
                let tolerance =
                    [.float32: 1e-5, .float16: 3e-3, .bfloat16: 2e-2, .int8: 2e-3][element] ?? 0.0
                try compare("prompts, \(name)", tolerance) { try scene.run($0, chunk: .max, tail: 60) }
                try compare("answers, \(name)", tolerance) { try scene.run($0, chunk: .max, tail: 1) }
                let whole = try scene.run(ours, chunk: .max, tail: 60)
                recorder.check("chunks, \(name)", try scene.run(ours, chunk: 7, tail: 60) == whole)
            }
        }
    }
}
