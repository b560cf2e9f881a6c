import CKernels
import Foundation

/// A table of kernels that this processor runs.
enum KernelSet: String, CaseIterable, Sendable {
    case scalar, avx2, avx512

    static let available = allCases.filter { $0.table != nil }

    private var table: UnsafePointer<llm_kernels>? {
        switch self {
        case .scalar: llm_kernels_scalar()
        case .avx2: llm_kernels_avx2()
        case .avx512: llm_kernels_avx512()
        }
    }

    var kernels: llm_kernels { table!.pointee }
}

let scalar = llm_kernels_scalar().pointee

/// The weight encodings, with what a test must know to make up blocks.
enum Format: String, CaseIterable, Sendable {
    case f32, f16, bf16, q4_0, q4_1, q5_0, q5_1, q8_0, q2_K, q3_K, q4_K, q5_K, q6_K

    static let plain: [Format] = [.f32, .f16, .bf16]
    static let blocked = allCases.filter { $0.blockElements > 1 }

    var encoding: llm_encoding { llm_encoding(UInt32(Format.allCases.firstIndex(of: self)!)) }

    var blockElements: Int {
        switch self {
        case .f32, .f16, .bf16: 1
        case .q4_0, .q4_1, .q5_0, .q5_1, .q8_0: 32
        default: 256
        }
    }

    var blockBytes: Int {
        switch self {
        case .f32: 4
        case .f16, .bf16: 2
        case .q4_0: 18
        case .q4_1: 20
        case .q5_0: 22
        case .q5_1: 24
        case .q8_0: 34
        case .q2_K: 84
        case .q3_K: 110
        case .q4_K: 144
        case .q5_K: 176
        case .q6_K: 210
        }
    }

    /// Where a block keeps its float16 scale and minimum.
    var halves: [Int] {
        switch self {
        case .f32, .f16, .bf16: []
        case .q4_0, .q5_0, .q8_0: [0]
        case .q4_1, .q5_1, .q4_K, .q5_K: [0, 2]
        case .q2_K: [80, 82]
        case .q3_K: [108]
        case .q6_K: [208]
        }
    }

    /// Sizes that straddle vectors, blocks and chunks.
    var awkwardInputs: [Int] {
        switch blockElements {
        case 1: [1, 7, 8, 31, 33, 100, 256, 263, 520]
        case 32: [32, 64, 96, 224, 256, 288, 512, 544]
        default: [256, 512, 768]
        }
    }
}

/// Xorshift; the same numbers on every run.
struct Random: RandomNumberGenerator {
    private var state: UInt64

    init(_ seed: Int) { state = UInt64(seed) &* 0x9E37_79B9_7F4A_7C15 | 1 }

    mutating func next() -> UInt64 {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return state &* 0x2545_F491_4F6C_DD1D
    }

    mutating func floats(_ count: Int, in range: ClosedRange<Float> = -1...1) -> [Float] {
        (0..<count).map { _ in Float.random(in: range, using: &self) }
    }

    /// `count` elements of a format. Scales and minima of blocks come from `half`.
    mutating func weights(_ format: Format, _ count: Int, half: (inout Random) -> Float16) -> [UInt8] {
        var bytes: [UInt8] = []
        switch format {
        case .f32: for value in floats(count) { append(value.bitPattern, to: &bytes) }
        case .f16: for value in floats(count) { append(Float16(value).bitPattern, to: &bytes) }
        case .bf16: for value in floats(count) { append(UInt16(value.bitPattern >> 16), to: &bytes) }
        default:
            for _ in 0..<count / format.blockElements {
                let start = bytes.count
                for _ in 0..<format.blockBytes { bytes.append(UInt8.random(in: 0...255, using: &self)) }
                for offset in format.halves {
                    let bits = half(&self).bitPattern
                    bytes[start + offset] = UInt8(truncatingIfNeeded: bits)
                    bytes[start + offset + 1] = UInt8(truncatingIfNeeded: bits >> 8)
                }
            }
        }
        return bytes
    }

    mutating func weights(_ format: Format, _ count: Int) -> [UInt8] {
        weights(format, count) { Float16.random(in: -0.05...0.05, using: &$0) }
    }

    private func append<T: FixedWidthInteger>(_ value: T, to bytes: inout [UInt8]) {
        withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
    }
}

extension Sequence<Float> {
    /// Bits, so that comparisons tell 0 from -0. All NaNs count as one: their signs are not promised.
    var bits: [UInt32] { map { $0.isNaN ? Float.nan.bitPattern : $0.bitPattern } }
    var doubles: [Double] { map(Double.init) }
    var nans: Int { reduce(0) { $0 + ($1.isNaN ? 1 : 0) } }
}

func dequantized(_ format: Format, _ weights: [UInt8], _ kernels: llm_kernels = scalar) -> [Float] {
    let count = weights.count / format.blockBytes * format.blockElements
    var values = [Float](repeating: .nan, count: count)
    kernels.dequantize_row(format.encoding, weights, count, &values)
    return values
}

/// One layer of weights and the activations for it.
struct Product {
    var format: Format
    var weights: [UInt8]
    var inputs: Int
    var x: [Float]
    var bias: [Float]?

    var outputs: Int { weights.count / format.blockBytes * format.blockElements / inputs }
    var rows: Int { x.count / inputs }

    init(_ format: Format, inputs: Int, outputs: Int, rows: Int, bias: Bool = false, seed: Int) {
        var random = Random(seed)
        (self.format, self.inputs) = (format, inputs)
        weights = random.weights(format, inputs * outputs)
        x = random.floats(rows * inputs)
        self.bias = bias ? random.floats(outputs) : nil
    }

    /// How far int8 rounding may move each input of a row.
    func halfSteps(row: Int) -> [Double] {
        let x = x[row * inputs..<(row + 1) * inputs].map { abs(Double($0)) }
        if format.blockElements == 1 { return x.map { _ in 0 } }
        let shared = format.blockElements
        return x.indices.map { index in
            let start = index / shared * shared
            return x[start..<start + shared].max()! / 254
        }
    }

    var panels: Int { (outputs + 15) / 16 }

    /// The weights as the kernels want them.
    func packed(_ kernels: llm_kernels) -> [UInt8] {
        let panelBytes = kernels.panel_bytes(format.encoding, inputs), rowBytes = weights.count / outputs
        var packed = [UInt8](repeating: 0xAA, count: panels * panelBytes)
        weights.withUnsafeBytes { weights in
            packed.withUnsafeMutableBytes { packed in
                for panel in 0..<panels {
                    kernels.pack_panel(
                        format.encoding, weights.baseAddress! + 16 * panel * rowBytes, inputs,
                        min(16, outputs - 16 * panel), packed.baseAddress! + panel * panelBytes)
                }
            }
        }
        return packed
    }

    /// Some of the rows as the kernels want them.
    func activations(_ kernels: llm_kernels, rows: Range<Int>) -> [UInt8] {
        let x = Array(x[rows.lowerBound * inputs..<rows.upperBound * inputs])
        if format.blockElements == 1 { return x.withUnsafeBytes { Array($0) } }
        var bytes = [UInt8](repeating: 0xAA, count: kernels.quantized_bytes(inputs, rows.count))
        // Tiles in disorder: none depends on another.
        for tile in (0..<(rows.count + 15) / 16).reversed() {
            kernels.quantize_rows(
                x, inputs, rows.count, inputs, format.blockElements, tile, tile + 1, &bytes)
        }
        return bytes
    }

    /// The rows' products, by calls that share the panels as `splits` says.
    func result(_ kernels: llm_kernels, rows range: Range<Int>? = nil, splits: [Int] = []) -> [Float] {
        let range = range ?? 0..<rows
        var y = [Float](repeating: -1, count: range.count * outputs)
        let bounds = [0] + splits + [panels]
        packed(kernels).withUnsafeBytes { weights in
            activations(kernels, rows: range).withUnsafeBytes { x in
                y.withUnsafeMutableBufferPointer { y in
                    withOptionalPointer(bias) { bias in
                        for (first, last) in zip(bounds, bounds.dropFirst()) {
                            var product = llm_matmul(
                                encoding: format.encoding, weights: weights.baseAddress!, inputs: inputs,
                                outputs: outputs, first_panel: first, last_panel: last, x: x.baseAddress!,
                                x_stride: inputs, rows: range.count, bias: bias, y: y.baseAddress!,
                                y_stride: outputs)
                            kernels.matmul(&product)
                        }
                    }
                }
            }
        }
        return y
    }
}

/// A copy of an array at an address that stays for as long as this lives.
final class Memory<Element: BitwiseCopyable> {
    let pointer: UnsafeMutablePointer<Element>

    init(_ values: [Element]) {
        pointer = .allocate(capacity: max(values.count, 1))
        pointer.initialize(from: values, count: values.count)
    }

    deinit { pointer.deallocate() }
}

func withOptionalPointer(_ values: [Float]?, _ body: (UnsafePointer<Float>?) -> Void) {
    guard let values else { return body(nil) }
    values.withUnsafeBufferPointer { body($0.baseAddress) }
}

/// The largest difference relative to the largest expected magnitude.
func relativeError(_ actual: [Float], _ expected: [Double]) -> Double {
    let scale = expected.map(abs).max() ?? 0
    let difference = zip(actual, expected).map { abs(Double($0) - $1) }.max() ?? 0
    return actual.count == expected.count && scale > 0 ? difference / scale : .infinity
}
