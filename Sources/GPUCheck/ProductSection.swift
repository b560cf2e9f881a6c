import CUDABackend
import CUDARuntime
import JSON
import Tensors

/// A product of LLaMA-7B with weights that mean nothing.
private struct ModelProduct {
    let name: String
    let inputs: Int
    let outputs: Int
    /// How often a step does it.
    let count: Int
    /// Weights that take turns, so that none is found in the device's own cache.
    let weights: [WeightMatrix]

    static let shapes = [
        ("qkv", 4096, 12288, 32), ("output", 4096, 4096, 32), ("gate and up", 4096, 22016, 32),
        ("down", 11008, 4096, 32), ("head", 4096, 32000, 1),
    ]

    init(_ shape: (name: String, inputs: Int, outputs: Int, count: Int), _ backend: CUDABackend) throws {
        (name, inputs, outputs, count) = shape
        weights = try (0..<max(2, min(6, (300 << 20) / (2 * inputs * outputs)))).map { index in
            WeightMatrix(
                inputs: shape.inputs,
                parts: [
                    WeightMatrix.Part(
                        outputs: shape.outputs, encoding: .bfloat16,
                        buffer: try backend.randomNumbers(
                            count: shape.inputs * shape.outputs, scale: 1, seed: index))
                ])
        }
    }

    /// Milliseconds of one with so many rows, which are made bfloat16 before.
    func time(rows: Int, turns: Int, _ backend: CUDABackend) throws -> Double {
        var noise = Noise(rows)
        let x = backend.matrix(noise.floats(rows * inputs), columns: inputs)
        let y = backend.makeMatrix(rows: rows, columns: outputs)
        func turn(_ count: Int) {
            for index in 0..<count {
                backend.linear(x, weights[index % weights.count], bias: nil, into: y)
            }
        }
        turn(weights.count)
        return try backend.stream.time { turn(turns) } / Double(turns)
    }

    /// The same of the fastest algorithms that the library proposes.
    func time(rows: Int, turns: Int, _ library: CublasLt, _ backend: CUDABackend) throws -> Double? {
        let x = try backend.randomNumbers(count: rows * inputs, scale: 1)
        let y = backend.makeMatrix(rows: rows, columns: outputs)
        let size = CublasLt.Size(
            rows: rows, inputs: inputs, outputs: outputs, stride: outputs, element: .bfloat16)
        return try library.time(
            x: x.address, weights: weights.map(\.parts[0].buffer.address), into: y.buffer.address, size,
            turns: turns, most: 6)
    }
}

extension GPUCheck {
    /// All products of a step of LLaMA-7B with 128 rows and with 1,024, to choose the kernels that serve it.
    static func measureChoice(_ backend: CUDABackend, _ recorder: Recorder) throws {
        var (few, many) = (0.0, 0.0)
        for shape in ModelProduct.shapes {
            let product = try ModelProduct(shape, backend)
            few += Double(product.count) * (try product.time(rows: 128, turns: 20, backend))
            many += Double(product.count) * (try product.time(rows: 1024, turns: 8, backend))
        }
        recorder.record(
            "products of a step",
            [
                "products": .string(backend.products.rawValue), "ms": .number(few + many),
                "ms of 128 rows": .number(few), "ms of 1024 rows": .number(many),
            ])
    }

    /// Products of LLaMA-7B's shapes: ours, which give a row the same bits whatever is beside it, and the fastest of
    /// cuBLASLt, which need not. The ratio of the two is what those bits cost.
    static func measureProducts(_ backend: CUDABackend, _ recorder: Recorder) throws {
        let library = try? CublasLt(backend.stream, order: .any)
        if library == nil { recorder.record("cuBLASLt", ["found": .bool(false)]) }
        var (ours, theirs): ([Int: Double], [Int: Double]) = ([:], [:])
        for shape in ModelProduct.shapes {
            let product = try ModelProduct(shape, backend)
            let (inputs, outputs) = (product.inputs, product.outputs)
            for rows in [1, 16, 64, 128, 256, 512, 1024, 2048] {
                let turns = rows >= 512 ? 12 : 30
                let milliseconds = try product.time(rows: rows, turns: turns, backend)
                let best = try library.flatMap { try product.time(rows: rows, turns: turns, $0, backend) }
                ours[rows, default: 0] += Double(product.count) * milliseconds
                theirs[rows, default: 0] += best.map { Double(product.count) * $0 } ?? .nan
                recorder.record(
                    "\(product.name) \(rows)x\(inputs)x\(outputs)",
                    [
                        "us": .number(milliseconds * 1000),
                        "TFLOP/s": .number(
                            2 * Double(rows * inputs) * Double(outputs) / milliseconds / 1e9),
                        "GB/s": .number(2 * Double(inputs * outputs) / milliseconds / 1e6),
                        "cuBLASLt us": best.map { .number($0 * 1000) } ?? .null,
                    ])
            }
            record(backend.libraryChoice(inputs: inputs, outputs: outputs), of: product.name, recorder)
        }
        for (rows, milliseconds) in ours.sorted(by: { $0.key < $1.key }) {
            let best = theirs[rows].flatMap { $0.isNaN ? nil : $0 }
            recorder.record(
                "invariance of \(rows) rows",
                [
                    "products": .string(backend.products.rawValue), "ms": .number(milliseconds),
                    "cuBLASLt ms": best.map { .number($0) } ?? .null,
                    "cost": best.map { .number(milliseconds / $0) } ?? .null,
                ])
        }
    }

    /// The algorithms of cuBLASLt that serve a weight's shape.
    private static func record(
        _ choice: (steps: [(rows: Int, algorithm: [UInt64], milliseconds: Double)], found: Int, whole: Int)?,
        of name: String, _ recorder: Recorder
    ) {
        guard let choice else { return }
        recorder.record(
            "\(name): classes of algorithms",
            ["found": .integer(choice.found), "for all numbers of rows": .integer(choice.whole)])
        for step in choice.steps {
            recorder.record(
                "\(name): algorithm up to \(step.rows) rows",
                [
                    "us": .number(step.milliseconds * 1000),
                    "algorithm": .string(
                        step.algorithm.map { String($0, radix: 16) }.joined(separator: " ")),
                ])
        }
    }

    /// Products with weights of few bits: bytes of weights per second.
    static func measureBlockProducts(_ backend: CUDABackend, _ recorder: Recorder) throws {
        let encodings = Encoding.allCases.filter { $0.blockElements > 1 }
        for (name, inputs, outputs) in [("gate and up", 4096, 22016), ("output", 4096, 4096)] {
            for encoding in encodings {
                let bytes = CUDABackend.weightBytes(encoding, outputs: outputs, inputs: inputs)
                let copies = try (0..<max(2, min(12, (300 << 20) / bytes))).map { index in
                    WeightMatrix(
                        inputs: inputs,
                        parts: [
                            WeightMatrix.Part(
                                outputs: outputs, encoding: encoding,
                                buffer: try backend.randomNumbers(count: bytes / 2, scale: 1, seed: index))
                        ])
                }
                for rows in [1, 16, 64, 512] {
                    var noise = Noise(rows)
                    let x = backend.matrix(noise.floats(rows * inputs), columns: inputs)
                    let y = backend.makeMatrix(rows: rows, columns: outputs)
                    func turn(_ count: Int) {
                        for index in 0..<count {
                            backend.linear(x, copies[index % copies.count], bias: nil, into: y)
                        }
                    }
                    turn(copies.count)
                    let milliseconds = try backend.stream.time { turn(30) } / 30
                    recorder.record(
                        "\(name) \(encoding) \(rows)x\(inputs)x\(outputs)",
                        [
                            "us": .number(milliseconds * 1000),
                            "GB/s": .number(Double(bytes) / milliseconds / 1e6),
                            "TFLOP/s": .number(
                                2 * Double(rows * inputs) * Double(outputs) / milliseconds / 1e9),
                        ])
                }
            }
        }
    }
}
