public import Tensors

/// Keys and values of the patches that a layer is looking at. The layers of an encoder work one after the other, so they
/// share those of one.
public struct PatchCache: Sendable {
    let cache: any KeyValueCache
    let backend: any Backend

    /// For `patches` at once; its numbers are float32 where those of the weight at `parameters` are, else float16.
    public init(_ parameters: Parameters, heads: Heads, patches: Int) throws {
        backend = parameters.backend
        let isPrecise = parameters.encoding("weight") == .float32
        cache = try backend.makeCache(
            heads.cacheLayout(layers: 1), slots: patches, element: isPrecise ? .float32 : .float16)
    }

    /// A pass over sequences of so many patches, each of which sees all of its own. With `queries` the rows that look
    /// are others, as many for each sequence.
    public func pass(_ lengths: [Int], queries: Int? = nil, coordinates: [Int32] = []) -> ForwardPass {
        var sequences: [ForwardPass.Sequence] = []
        var (keys, rows) = (0, 0)
        for length in lengths {
            let count = queries ?? length
            sequences.append(
                ForwardPass.Sequence(
                    rows: rows..<rows + count, contextSlots: (keys..<keys + length).map { Int32($0) }))
            (keys, rows) = (keys + length, rows + count)
        }
        let none = [Int32](repeating: 0, count: rows)
        return ForwardPass(
            tokens: none, positions: none, lengths: none, newSlots: (0..<keys).map { Int32($0) },
            sequences: sequences, sampledRows: [], coordinates: coordinates, cache: cache, backend: backend)
    }
}

extension Matrix {
    /// All rows, on the host. They must lie side by side.
    public var values: [Float] {
        var values: [Float] = []
        guard rows > 0 else { return values }
        backend.read(reshaped(columns: rows * columns), row: 0, into: &values)
        return values
    }
}
