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
}
