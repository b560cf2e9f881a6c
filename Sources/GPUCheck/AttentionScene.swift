import Foundation
import Tensors

/// Sequences of some lengths, at slots in an order without order.
struct AttentionScene {
    let shape: AttentionShape
    let element: CacheElement
    let contexts: [Int]

    /// Results of the last `tail` positions of every sequence, computed `chunk` at a time after all before.
    func run(_ backend: any Backend, chunk: Int, tail: Int) throws -> [Float] {
        let layout = CacheLayout(
            layers: 1, heads: shape.keyValueHeads, keyWidth: shape.keyWidth, valueWidth: shape.valueWidth)
        let cache = try backend.makeCache(layout, slots: contexts.reduce(0, +), element: element)
        let slots = Self.slots(for: contexts)
        var results = [[Float]](repeating: [], count: contexts.count)
        var done = contexts.map { _ in 0 }
        while done != contexts {
            var parts: [(sequence: Int, positions: Range<Int>)] = []
            for (index, context) in contexts.enumerated() where done[index] < context {
                let before = max(0, context - tail)
                let end =
                    done[index] < before
                    ? before : chunk == .max ? context : min(context, done[index] + chunk)
                parts.append((index, done[index]..<end))
            }
            let outputs = step(backend, cache, parts, slots)
            for (part, output) in zip(parts, outputs) {
                if part.positions.lowerBound >= max(0, contexts[part.sequence] - tail) {
                    results[part.sequence] += output
                }
                done[part.sequence] = part.positions.upperBound
            }
        }
        return Array(results.joined())
    }

    private func step(
        _ backend: any Backend, _ cache: any KeyValueCache, _ parts: [(sequence: Int, positions: Range<Int>)],
        _ slots: [[Int32]]
    ) -> [[Float]] {
        let rows = parts.flatMap { part in part.positions.map { (part.sequence, $0) } }
        var (start, sequences) = (0, [ForwardPass.Sequence]())
        for part in parts {
            sequences.append(
                ForwardPass.Sequence(
                    rows: start..<start + part.positions.count,
                    contextSlots: Array(slots[part.sequence].prefix(part.positions.upperBound))))
            start += part.positions.count
        }
        let pass = ForwardPass(
            tokens: rows.map { _ in 0 }, positions: rows.map { Int32($0.1) },
            lengths: rows.map { Int32($0.1 + 1) },
            newSlots: rows.map { slots[$0.0][$0.1] }, sequences: sequences, sampledRows: [], cache: cache,
            backend: backend)
        func matrix(_ columns: Int, _ seed: Int) -> Matrix {
            let values = rows.flatMap { row -> [Float] in
                var noise = Noise(seed + 100_003 * row.0 + 7 * row.1)
                return noise.floats(columns)
            }
            return backend.matrix(values, columns: columns)
        }
        let rotation = Rotation(
            frequencies: .fixed((0..<shape.keyWidth / 2).map { pow(0.7, Float($0)) }),
            columns: 0..<shape.keyWidth,
            pairing: .halves)
        let y = pass.attend(
            matrix(shape.queryHeads * shape.keyWidth, 1), matrix(shape.keyValueHeads * shape.keyWidth, 2),
            matrix(shape.keyValueHeads * shape.valueWidth, 3), rotatedBy: rotation, shape, layer: 0)
        let values = backend.values(y)
        return sequences.map {
            Array(values[$0.rows.lowerBound * y.columns..<$0.rows.upperBound * y.columns])
        }
    }

    /// Every slot once.
    static func slots(for contexts: [Int]) -> [[Int32]] {
        var order = (0..<contexts.reduce(0, +)).map { Int32($0) }
        var generator = Noise(1)
        for index in order.indices.reversed() {
            order.swapAt(index, min(index, Int(abs(generator.next()) * Float(index + 1))))
        }
        var start = 0
        return contexts.map { context in
            defer { start += context }
            return Array(order[start..<start + context])
        }
    }
}
