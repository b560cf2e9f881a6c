import CPUBackend
import CUDABackend
import CUDARuntime
public import Tensors

/// Where a model computes.
public enum DeviceChoice: String, Sendable, CaseIterable {
    /// The GPU when the machine has one, else the processor.
    case auto
    case cpu, cuda
}

/// The backend of a device of this machine; `threads` of the processor default to one for each of its cores. Throws
/// `CUDAError`, which names what was tried, when a GPU was asked for or is there and cannot be used.
public func makeBackend(_ device: DeviceChoice = .auto, threads: Int? = nil) throws -> any Backend {
    switch device {
    case .cpu: return CPUBackend(threads: threads)
    case .cuda: return try CUDABackend()
    case .auto:
        // A driver without a device, or none at all, is no error.
        guard let driver = try? Driver(), driver.deviceCount > 0 else { return CPUBackend(threads: threads) }
        return try CUDABackend()
    }
}
