public import CUDARuntime
public import Tensors

/// GPUs that compute a model together, one to a process.
public final class NCCLCommunicator: Communicator {
    private let member: NCCL.Member
    private let backend: CUDABackend
    public var rank: Int { member.rank }
    public var size: Int { member.size }

    /// Waits until all `size` are here. `identifier` is what one of them made.
    public init(
        _ backend: CUDABackend, _ library: NCCL, _ identifier: [UInt8], rank: Int, size: Int
    ) throws(CUDAError) {
        member = try NCCL.Member(library, identifier, rank: rank, size: size, on: backend.stream)
        self.backend = backend
    }

    public func allGather(_ parts: Matrix) {
        backend.attempt { () throws(CUDAError) in
            try backend.startDirectWork()
            try member.allGather(parts.start, count: parts.rows / size * parts.columns)
        }
    }

    public func gather(_ parts: Matrix) {
        backend.attempt { () throws(CUDAError) in
            try backend.startDirectWork()
            try member.gather(parts.start, count: parts.rows / size * parts.columns)
        }
    }
}
