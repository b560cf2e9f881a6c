import CKernels
import Foundation
import Synchronization
public import Tensors

/// The backend for CPUs: kernels chosen for the processor at run time, split over a pool of threads.
///
/// How an operation is split never shows in its result, so answers do not depend on the number of threads.
public final class CPUBackend: Backend {
    public let name: String
    let kernels: llm_kernels
    let workers: WorkerPool
    private let buffers = BufferPool()
    let weightBytes = Atomic<Int>(0)

    /// Bytes that a backend has taken for itself.
    public struct MemoryUse: Sendable, Equatable {
        /// Packed weights.
        public let weights: Int
        /// Results of operations, at the busiest moment so far.
        public let activations: Int
    }

    public var memoryUse: MemoryUse {
        MemoryUse(weights: weightBytes.load(ordering: .relaxed), activations: buffers.peak)
    }

    /// Which kernels to run.
    public enum Kernels: Sendable {
        case best, scalar
        /// None: nothing is computed, read or written, and `memoryUse` says what would be.
        case idle

        var table: llm_kernels {
            switch self {
            case .best: llm_kernels_best().pointee
            case .scalar: llm_kernels_scalar().pointee
            case .idle: llm_kernels_idle().pointee
            }
        }
    }

    /// `threads` defaults to one per processor.
    public init(threads: Int? = nil, kernels: Kernels = .best) {
        self.kernels = kernels.table
        workers = WorkerPool(width: min(threads ?? ProcessInfo.processInfo.activeProcessorCount, 256))
        name = "cpu (\(String(cString: self.kernels.name)), \(workers.width) threads)"
    }

    public func makeMatrix(rows: Int, columns: Int) -> Matrix {
        Matrix(rows: rows, columns: columns, backend: self, buffer: buffer(bytes: 4 * rows * columns))
    }

    func buffer(bytes: Int) -> Buffer { buffers.buffer(bytes: bytes) }

    /// `bytes` for each of the threads.
    func threadBuffers(bytes: Int) -> ThreadBuffers {
        let bytes = (bytes + 63) / 64 * 64
        return ThreadBuffers(buffer: buffer(bytes: workers.width * bytes), bytes: bytes)
    }

    public func makeVector(_ parts: [HostWeight]) -> Matrix {
        let y = makeMatrix(rows: 1, columns: parts.reduce(0) { $0 + $1.outputs * $1.inputs })
        var start = y.row(0)
        for part in parts {
            for row in 0..<part.outputs {
                let bytes = part.bytes.count / part.outputs
                kernels.dequantize_row(
                    part.encoding.kernel, part.bytes.start + row * bytes, part.inputs, start)
                start += part.inputs
            }
        }
        return y
    }

    public func makeRotationTable(_ rotation: Rotation, positions: [Int32], lengths: [Int32]) -> RotationTable
    {
        let count = lengths.count
        let cosines = makeMatrix(rows: count, columns: rotation.pairs)
        let sines = makeMatrix(rows: count, columns: rotation.pairs)
        split(rows: count, cost: 40 * rotation.pairs) { rows in
            var known: (length: Int32, frequencies: [Float])?
            for row in rows {
                if known?.length != lengths[row] {
                    known = (lengths[row], rotation.frequencies(atLength: Int(lengths[row])))
                }
                let (c, s) = (cosines.row(row), sines.row(row))
                let magnitude = rotation.magnitude(atLength: Int(lengths[row]))
                for (pair, frequency) in (known?.frequencies ?? []).enumerated() {
                    let place = rotation.axes.map { row + $0[pair] * count } ?? row
                    let angle = Float(positions[place]) * frequency
                    c[pair] = cos(angle) * magnitude
                    s[pair] = sin(angle) * magnitude
                }
            }
        }
        return RotationTable(rotation: rotation, cosines: cosines, sines: sines)
    }

    public func read(_ x: Matrix, row: Int, into host: inout [Float]) {
        host.removeAll(keepingCapacity: true)
        host.append(contentsOf: UnsafeBufferPointer(start: x.row(row), count: x.columns))
    }
}

/// Memory of which every thread has its own part.
struct ThreadBuffers: Sendable {
    fileprivate let buffer: Buffer
    fileprivate let bytes: Int

    subscript(thread: Int) -> UnsafeMutableRawPointer { buffer.address + thread * bytes }
}

extension CPUBackend {
    /// Cuts `rows` among the workers when `cost`, in operations a row, makes that worthwhile.
    func split(rows: Int, cost: Int, _ body: (Range<Int>) -> Void) {
        split(rows: rows, cost: cost) { rows, _ in body(rows) }
    }

    /// The same; `body` is also told which thread it runs on.
    func split(rows: Int, cost: Int, _ body: (_ rows: Range<Int>, _ thread: Int) -> Void) {
        guard rows > 0 else { return }
        let worthwhile = max(1, rows * max(cost, 1) / 16_384)
        let parts = min(rows, worthwhile, 4 * workers.width)
        workers.run(parts: parts) { part, thread in
            body(rows * part / parts..<rows * (part + 1) / parts, thread)
        }
    }
}

extension Matrix {
    /// Where row `index` begins.
    func row(_ index: Int) -> UnsafeMutablePointer<Float> {
        precondition(index >= 0 && index <= rows, "row \(index) of \(rows)")
        return buffer.address.assumingMemoryBound(to: Float.self) + offset + index * rowStride
    }
}

extension Encoding {
    var kernel: llm_encoding {
        switch self {
        case .float32: LLM_F32
        case .float16: LLM_F16
        case .bfloat16: LLM_BF16
        case .q4_0: LLM_Q4_0
        case .q4_1: LLM_Q4_1
        case .q5_0: LLM_Q5_0
        case .q5_1: LLM_Q5_1
        case .q8_0: LLM_Q8_0
        case .q2_K: LLM_Q2_K
        case .q3_K: LLM_Q3_K
        case .q4_K: LLM_Q4_K
        case .q5_K: LLM_Q5_K
        case .q6_K: LLM_Q6_K
        }
    }
}

extension Activation {
    var kernel: llm_function {
        switch self {
        case .silu: LLM_SILU
        case .gelu: LLM_GELU
        case .geluTanh: LLM_GELU_TANH
        case .relu: LLM_RELU
        case .quickGelu: LLM_QUICK_GELU
        }
    }
}

extension CacheElement {
    var kernel: llm_element {
        switch self {
        case .float32: LLM_ELEMENT_F32
        case .float16: LLM_ELEMENT_F16
        case .bfloat16: LLM_ELEMENT_BF16
        case .int8: LLM_ELEMENT_I8
        }
    }
}
