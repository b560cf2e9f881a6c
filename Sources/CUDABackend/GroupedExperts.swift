import CUDARuntime
import Tensors

/// The weights of a mixture's experts, where a kernel that multiplies with all of them finds each.
struct GroupedExperts: Sendable {
    /// Outputs that some experts have in one encoding.
    struct Part: Sendable {
        let outputs: Range<Int>
        let encoding: Encoding
        /// The first byte of each expert's part, as 64-bit numbers by expert; 0 for one that has these outputs otherwise.
        let addresses: DeviceBuffer
    }

    let gateUp: [Part]
    let down: [Part]

    init(_ experts: [ExpertWeights.Expert], on backend: CUDABackend) {
        gateUp = Self.parts(experts.map(\.gateUp), backend)
        down = Self.parts(experts.map(\.down), backend)
    }

    private struct Kind: Hashable {
        let outputs: Range<Int>
        let encoding: Encoding
    }

    private static func parts(_ weights: [WeightMatrix], _ backend: CUDABackend) -> [Part] {
        var kinds: [Kind] = []
        var addresses: [Kind: [UInt64]] = [:]
        for (expert, weight) in weights.enumerated() {
            var first = 0
            for part in weight.parts {
                let kind = Kind(outputs: first..<first + part.outputs, encoding: part.encoding)
                if addresses[kind] == nil { kinds.append(kind) }
                let start = UInt64(UInt(bitPattern: part.buffer.address))
                addresses[kind, default: Array(repeating: 0, count: weights.count)][expert] = start
                first += part.outputs
            }
        }
        return kinds.map {
            Part(
                outputs: $0.outputs, encoding: $0.encoding,
                addresses: backend.keep(addresses[$0] ?? []))
        }
    }
}

/// Rows sorted by the experts that compute them; a row is there once for each that it has chosen.
struct RoutedRows {
    let rows: Int
    let rule: RoutingRule
    let experts: Int
    /// By choice: its weight, and its place among the sorted. A row's choices are side by side.
    let weights: DeviceBuffer
    let places: DeviceBuffer
    /// By place: the row.
    let sources: DeviceBuffer
    /// The first place of each expert, and the end.
    let starts: DeviceBuffer

    var choices: Int { rows * rule.chosen }
    /// Experts that can have rows, and how many each then has on average.
    var busyExperts: Int { min(experts, choices) }
    var rowsEach: Int { (choices + busyExperts - 1) / busyExperts }

    /// The most tiles of `rows` rows that it takes, however the rows are shared out.
    func tiles(of rows: Int) -> Int { busyExperts + (choices - busyExperts) / rows }
}

/// Kernels that multiply with all experts at once, by the rows of their tiles.
struct ExpertKernel {
    let kernel: Kernel
    let rows: Int
    let columns: Int
    let threads: Int
    let shared: Int
}
