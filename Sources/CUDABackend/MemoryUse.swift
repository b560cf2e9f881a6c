public import CUDARuntime
import Synchronization
import Tensors

extension CUDABackend {
    /// Bytes of the device's memory that a backend has taken.
    public struct MemoryUse: Sendable, Equatable {
        /// Weights and tables, in the form in which the device keeps them.
        public let weights: Int
        /// The arena, in which results of operations are, and small weights.
        public let activations: Int
    }

    public var memoryUse: MemoryUse {
        MemoryUse(weights: weightBytes.load(ordering: .relaxed), activations: arena.capacity)
    }

    /// A backend without a device, which computes nothing: `memoryUse` says what one with a device would take.
    public static func idle() throws(CUDAError) -> CUDABackend {
        try CUDABackend(try Device(.idle), NoCompiler(), products: .groups, graphs: nil)
    }

    /// Memory for weights; nil if the device has failed.
    func allocateWeight(bytes: Int) -> DeviceAddress? {
        attempt { () throws(CUDAError) in
            let memory = try device.allocate(bytes: bytes)
            weightBytes.add(bytes, ordering: .relaxed)
            return memory
        }
    }

    private struct NoCompiler: KernelCompiler {
        func image(of source: String, definitions: [String]) throws(CUDAError) -> [UInt8] { [0] }
    }
}
