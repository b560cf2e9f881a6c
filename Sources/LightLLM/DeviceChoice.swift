import CPUBackend
public import CUDABackend
import CUDARuntime
import Ranks
public import Tensors

/// Where a model computes.
public enum DeviceChoice: String, Sendable, CaseIterable {
    /// The GPU when the machine has one, else the processor.
    case auto
    case cpu, cuda
}

/// The backend of a device of this machine; `threads` of the processor default to one for each of its cores. Throws
/// `CUDAError`, which names what was tried, when a GPU was asked for or is there and cannot be used.
/// `index` is the number of the GPU, `graphs` which steps it replays as graphs.
public func makeBackend(
    _ device: DeviceChoice = .auto, threads: Int? = nil, index: Int = 0,
    graphs: GraphLimits? = GraphLimits()
) throws -> any Backend {
    switch device {
    case .cpu: return CPUBackend(threads: threads)
    case .cuda: return try CUDABackend(index: index, graphs: graphs)
    case .auto:
        return try Driver.findsDevice()
            ? CUDABackend(index: index, graphs: graphs) : CPUBackend(threads: threads)
    }
}

extension Driver {
    /// Whether the machine has a GPU. A driver without a device, or none at all, is no error; one that is too old is.
    static func findsDevice() throws(CUDAError) -> Bool {
        do throws(CUDAError) {
            return try Driver().deviceCount > 0
        } catch .libraryNotFound, .noDevice {
            return false
        } catch {
            throw error
        }
    }
}

extension RankGroup {
    /// The group as it exchanges numbers that are where `backend` computes: GPUs by NCCL.
    func exchanging(on backend: any Backend) throws -> RankGroup {
        guard let backend = backend as? CUDABackend else { return self }
        let library = try NCCL()
        let identifier = try broadcast { try library.makeIdentifier() }
        return exchanging(
            by: try NCCLCommunicator(
                backend, library, identifier, rank: communicator.rank, size: communicator.size))
    }
}
