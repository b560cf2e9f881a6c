#if MPI
    import CMPI
    public import Tensors

    /// The processes that `mpirun`, or a scheduler that speaks its protocol, started together.
    public final class MPICommunicator: Communicator {
        public let rank: Int
        public let size: Int
        /// How many of the ranks share this machine.
        public let ranksOfHost: Int
        private let health: GroupHealth

        /// Joins the others. Once a process; calls of one come from one thread at a time.
        public init(_ health: GroupHealth) throws(GroupFailure) {
            var (rank, size, ranksOfHost): (Int32, Int32, Int32) = (0, 0, 0)
            let code = llm_mpi_join(&rank, &size, &ranksOfHost)
            guard code == 0 else { throw .exchange(Self.text(code)) }
            (self.rank, self.size, self.ranksOfHost) = (Int(rank), Int(size), Int(ranksOfHost))
            self.health = health
        }

        /// Leaves in order, which all must do.
        public func leave() { llm_mpi_leave() }

        /// What rank 0 says, at most 255 bytes.
        public func broadcast(_ text: String) throws(GroupFailure) -> String {
            var bytes = [CChar](repeating: 0, count: 256)
            for (index, byte) in text.utf8.prefix(255).enumerated() {
                bytes[index] = CChar(bitPattern: byte)
            }
            let code = llm_mpi_broadcast(&bytes, bytes.count)
            guard code == 0 else { throw .exchange(Self.text(code)) }
            return String(
                decoding: bytes.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        }

        public func allGather(_ parts: Matrix) { exchange(parts, everybody: true) }

        public func gather(_ parts: Matrix) { exchange(parts, everybody: false) }

        /// Waits by asking, so that a rank that is gone ends the wait.
        private func exchange(_ parts: Matrix, everybody: Bool) {
            guard !health.hasFailed else { return }
            let start = (parts.buffer.address + 4 * parts.offset).assumingMemoryBound(to: Float.self)
            var code = llm_mpi_begin(start, parts.rows / size * parts.columns, everybody ? 1 : 0)
            var done: Int32 = 0
            while code == 0, done == 0, !health.hasFailed { code = llm_mpi_poll(&done) }
            if code != 0 { health.fail(.exchange(Self.text(code))) }
            withExtendedLifetime(parts) {}
        }

        private static func text(_ code: Int32) -> String {
            var bytes = [CChar](repeating: 0, count: 512)
            llm_mpi_describe(code, &bytes, bytes.count)
            return String(
                decoding: bytes.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        }
    }
#endif
