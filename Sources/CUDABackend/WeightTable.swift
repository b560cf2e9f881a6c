import CUDARuntime
import Tensors

/// Many weights of one shape, where a kernel that multiplies with all of them finds each.
struct WeightTable: Sendable {
    /// Outputs that some of them have in one encoding.
    struct Part: Sendable {
        let outputs: Range<Int>
        let encoding: Encoding
        /// The first byte of each weight's part, as 64-bit numbers; 0 for one that has these outputs otherwise.
        let addresses: DeviceBuffer
    }

    let parts: [Part]

    private struct Kind: Hashable {
        let outputs: Range<Int>
        let encoding: Encoding
    }

    init(_ weights: [WeightMatrix], on backend: CUDABackend) {
        var kinds: [Kind] = []
        var addresses: [Kind: [UInt64]] = [:]
        for (index, weight) in weights.enumerated() {
            var first = 0
            for part in weight.parts {
                let kind = Kind(outputs: first..<first + part.outputs, encoding: part.encoding)
                if addresses[kind] == nil { kinds.append(kind) }
                let start = UInt64(UInt(bitPattern: part.buffer.address))
                addresses[kind, default: Array(repeating: 0, count: weights.count)][index] = start
                first += part.outputs
            }
        }
        parts = kinds.map {
            Part(
                outputs: $0.outputs, encoding: $0.encoding,
                addresses: backend.keep(addresses[$0] ?? []))
        }
    }
}

/// Whose weights are multiplied with at once.
enum WeightOwners: String, CaseIterable {
    /// Those of a mixture, each of which has rows of its own.
    case experts
    /// Each of which has columns of all rows.
    case heads

    /// What the kernel for them is called that is `name` for one weight.
    func kernel(_ name: String) -> String { "\(rawValue)_\(name)" }
}

/// A kernel that multiplies with many weights at once, and what a block of it computes.
struct ManyWeightsKernel {
    let kernel: Kernel
    let rows: Int
    let columns: Int
    let threads: Int
    let shared: Int
}

extension CUDABackend {
    /// Meant for so many rows of each of `count` weights; other numbers take more blocks, or fill them less. Nil once the
    /// device has failed.
    func kernel(
        _ owners: WeightOwners, _ part: WeightTable.Part, rows: Int, count: Int
    ) -> ManyWeightsKernel? {
        let element = ProductElement(part.encoding), layout = BlockLayout(part.encoding)
        if element == .float32 {
            let kernel = attempt { () throws(CUDAError) in try kernels.manyFloats(owners) }
            return kernel.map {
                ManyWeightsKernel(kernel: $0, rows: 64, columns: 64, threads: 256, shared: 0)
            }
        }
        let shapes = (layout?.shapes(on: device) ?? productShapes).filter { shape in
            shape.listBytes + (layout?.sharedBytes(shape) ?? shape.sharedBytes) <= device.sharedMemory
        }
        let shape = GEMMShape.best(
            shapes, rows: rows, outputs: part.outputs.count, copies: count,
            multiprocessors: device.multiprocessors)
        let kernel = attempt { () throws(CUDAError) in try kernels.many(owners, shape, element, layout) }
        return kernel.map {
            ManyWeightsKernel(
                kernel: $0, rows: shape.rows, columns: shape.columns, threads: shape.threads,
                shared: layout?.sharedBytes(shape) ?? shape.sharedBytes)
        }
    }
}
