import CUDABackend
import CUDARuntime
import JSON
import Tensors

extension GPUCheck {
    /// One new row for each sequence: all keys and values are read once.
    static func measureAttention(_ backend: CUDABackend, _ recorder: Recorder) throws {
        let shape = AttentionShape(
            queryHeads: 32, keyValueHeads: 32, keyWidth: 128, valueWidth: 128, scale: 0.088, reach: .causal)
        let grouped = AttentionShape(
            queryHeads: 32, keyValueHeads: 8, keyWidth: 128, valueWidth: 128, scale: 0.088, reach: .causal)
        for element in [CacheElement.bfloat16, .float16, .int8] {
            for context in [472, 4096] {
                for batch in [1, 8, 32, 128] {
                    try measureAttention(backend, shape, element, batch: batch, context: context, recorder)
                }
            }
        }
        for batch in [8, 128] {
            try measureAttention(backend, grouped, .bfloat16, batch: batch, context: 4096, recorder)
        }
    }

    private static func measureAttention(
        _ backend: CUDABackend, _ shape: AttentionShape, _ element: CacheElement, batch: Int, context: Int,
        _ recorder: Recorder
    ) throws {
        let one = CacheLayout(
            layers: 1, heads: shape.keyValueHeads, keyWidth: shape.keyWidth, valueWidth: shape.valueWidth)
        let bytes = batch * context * one.bytesPerToken(element)
        // Layers take turns, so that nothing is read from the device's own cache.
        let layers = max(1, min(32, (400 << 20) / bytes))
        let layout = CacheLayout(
            layers: layers, heads: one.heads, keyWidth: one.keyWidth, valueWidth: one.valueWidth)
        let cache = try backend.makeCache(layout, slots: batch * context, element: element)
        let slots = AttentionScene.slots(for: Array(repeating: context, count: batch))
        let pass = ForwardPass(
            tokens: Array(repeating: 0, count: batch),
            positions: Array(repeating: Int32(context - 1), count: batch),
            lengths: Array(repeating: Int32(context), count: batch), newSlots: slots.map { $0[context - 1] },
            sequences: (0..<batch).map { ForwardPass.Sequence(rows: $0..<$0 + 1, contextSlots: slots[$0]) },
            sampledRows: [], cache: cache, backend: backend)
        func zeros(_ columns: Int) -> Matrix {
            backend.matrix([Float](repeating: 0, count: batch * columns), columns: columns)
        }
        let (q, k, v) = (
            zeros(shape.queryHeads * shape.keyWidth), zeros(shape.keyValueHeads * shape.keyWidth),
            zeros(shape.keyValueHeads * shape.valueWidth)
        )
        let y = backend.makeMatrix(rows: batch, columns: shape.queryHeads * shape.valueWidth)
        func turn(_ count: Int) {
            for index in 0..<count {
                backend.attend(q, k, v, shape, in: pass, layer: index % layers, into: y)
            }
        }
        turn(3)
        let turns = max(10, min(200, Int(20e9 / Double(bytes))))
        let milliseconds = try backend.stream.time { turn(turns) } / Double(turns)
        recorder.record(
            "\(element) batch \(batch) context \(context) heads \(shape.queryHeads)/\(shape.keyValueHeads)",
            ["us": .number(milliseconds * 1000), "GB/s": .number(Double(bytes) / milliseconds / 1e6)])
    }

    /// Products of LLaMA-7B's shapes: ours, which first make their rows bfloat16, and those of cuBLASLt alone.
    static func measureProducts(_ backend: CUDABackend, _ recorder: Recorder) throws {
        let blas = try? CublasLt(backend.stream)
        if blas == nil { recorder.record("cuBLASLt", ["found": .bool(false)]) }
        for (name, inputs, outputs) in [
            ("qkv", 4096, 12288), ("output", 4096, 4096), ("gate and up", 4096, 22016), ("down", 11008, 4096),
            ("head", 4096, 32000),
        ] {
            let copies = try (0..<max(2, min(6, (300 << 20) / (2 * inputs * outputs)))).map { index in
                WeightMatrix(
                    inputs: inputs,
                    parts: [
                        WeightMatrix.Part(
                            outputs: outputs, encoding: .bfloat16,
                            buffer: try backend.randomNumbers(count: inputs * outputs, scale: 1, seed: index))
                    ])
            }
            for rows in [1, 16, 64, 128, 256, 512, 2048] {
                var noise = Noise(rows)
                let x = backend.matrix(noise.floats(rows * inputs), columns: inputs)
                let packed = try backend.randomNumbers(count: rows * inputs, scale: 1)
                let y = backend.makeMatrix(rows: rows, columns: outputs)
                let turns = rows >= 512 ? 12 : 30
                func turn(_ count: Int) {
                    for index in 0..<count {
                        backend.linear(x, copies[index % copies.count], bias: nil, into: y)
                    }
                }
                turn(copies.count)
                let milliseconds = try backend.stream.time { turn(turns) } / Double(turns)
                let operations = 2 * Double(rows * inputs) * Double(outputs)
                let size = CublasLt.Size(
                    rows: rows, inputs: inputs, outputs: outputs, stride: outputs, element: .bfloat16)
                let theirs = try blas.map { blas in
                    try blas.time(
                        x: packed.address, weights: copies.map(\.parts[0].buffer.address),
                        into: y.buffer.address, size, turns: turns)
                }
                recorder.record(
                    "\(name) \(rows)x\(inputs)x\(outputs)",
                    [
                        "us": .number(milliseconds * 1000),
                        "TFLOP/s": .number(operations / milliseconds / 1e9),
                        "GB/s": .number(2 * Double(inputs * outputs) / milliseconds / 1e6),
                        "cuBLASLt us": theirs.map { .number($0 * 1000) } ?? .null,
                    ])
            }
            record(backend.libraryChoice(inputs: inputs, outputs: outputs), of: name, recorder)
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
