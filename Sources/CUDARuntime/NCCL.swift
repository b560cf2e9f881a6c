public import CCUDA

/// NVIDIA's library that moves numbers between GPUs. It moves them only: sums are ours, in an order of our own.
public final class NCCL: Sendable {
    let api: ccuda_nccl_api
    /// Its number for float32.
    private static let float32: Int32 = 7

    public convenience init(_ finder: LibraryFinder = LibraryFinder()) throws(CUDAError) {
        let (api, _) = try finder.load("libnccl.so", versions: [2], ccuda_resolve_nccl)
        self.init(table: api)
    }

    /// A library that is already there, as that of tests.
    public init(table: ccuda_nccl_api) { api = table }

    /// What the ranks of a new group must all know: 128 bytes.
    public func makeIdentifier() throws(CUDAError) -> [UInt8] {
        var identifier = ncclUniqueId()
        try check(api.getUniqueId(&identifier), "ncclGetUniqueId")
        return withUnsafeBytes(of: identifier) { Array($0) }
    }

    func check(_ status: ncclResult_t, _ call: StaticString) throws(CUDAError) {
        guard status == 0 else {
            let text = api.getErrorString(status).map { String(cString: $0) } ?? "error"
            throw .driver(call: "\(call)", code: status, text: text)
        }
    }

    /// One rank of a group.
    public final class Member: @unchecked Sendable {
        // Unsafe: a handle of the library, used by one thread at a time.
        public let rank: Int
        public let size: Int
        private let library: NCCL
        private let stream: DeviceStream
        private let handle: ncclComm_t?

        /// Waits until all `size` are here. `identifier` is what one of them made.
        public init(
            _ library: NCCL, _ identifier: [UInt8], rank: Int, size: Int, on stream: DeviceStream
        ) throws(CUDAError) {
            var (id, handle): (ncclUniqueId, ncclComm_t?) = (ncclUniqueId(), nil)
            withUnsafeMutableBytes(of: &id) { $0.copyBytes(from: identifier.prefix($0.count)) }
            try stream.device.makeCurrent()
            try library.check(
                library.api.commInitRank(&handle, Int32(size), id, Int32(rank)), "ncclCommInitRank")
            (self.rank, self.size, self.library) = (rank, size, library)
            (self.stream, self.handle) = (stream, handle)
        }

        deinit { _ = library.api.commDestroy(handle) }

        /// Gives everybody all parts: `count` numbers of each rank from `parts` on, of which this one's are there.
        public func allGather(_ parts: DeviceAddress, count: Int) throws(CUDAError) {
            try stream.watch?.noteWork()
            try library.check(
                library.api.allGather(
                    parts + 4 * rank * count, parts, count, NCCL.float32, handle, stream.handle),
                "ncclAllGather")
        }

        /// The same for rank 0 alone.
        public func gather(_ parts: DeviceAddress, count: Int) throws(CUDAError) {
            let api = library.api
            try stream.watch?.noteWork()
            guard rank == 0 else {
                let own = parts + 4 * rank * count
                return try library.check(
                    api.send(own, count, NCCL.float32, 0, handle, stream.handle), "ncclSend")
            }
            try library.check(api.groupStart(), "ncclGroupStart")
            for other in 1..<size {
                try library.check(
                    api.receive(
                        parts + 4 * other * count, count, NCCL.float32, Int32(other), handle, stream.handle),
                    "ncclRecv")
            }
            try library.check(api.groupEnd(), "ncclGroupEnd")
        }
    }
}
