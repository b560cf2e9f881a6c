#if MPI
    import CMPI
    import Foundation
    import Synchronization
    public import Tensors

    /// The processes that `mpirun`, or a scheduler that speaks its protocol, started together.
    public final class MPICommunicator: Communicator {
        public let rank: Int
        public let size: Int
        /// How many of the ranks share this machine.
        public let ranksOfHost: Int
        private let health: GroupHealth
        private let shared: SharedAreas?
        /// Whether anything was sent since all was settled; the same on all ranks.
        private let isUnsettled = Atomic<Bool>(false)

        /// Joins the others. Once a process; calls of one come from one thread at a time.
        public init(_ health: GroupHealth) throws(GroupFailure) {
            var (rank, size, ranksOfHost): (Int32, Int32, Int32) = (0, 0, 0)
            let code = llm_mpi_join(&rank, &size, &ranksOfHost)
            guard code == 0 else { throw .exchange(Self.text(code)) }
            (self.rank, self.size, self.ranksOfHost) = (Int(rank), Int(size), Int(ranksOfHost))
            self.health = health
            shared =
                self.ranksOfHost == self.size && self.size > 1
                ? try SharedAreas(rank: self.rank, size: self.size, health) : nil
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

        public func sum(
            rows: Int, columns: Int, on backend: any Backend, _ part: (Matrix) -> Void
        ) -> Matrix {
            guard let shared, shared.holds(rows: rows, columns: columns, backend) else {
                return exchangedSum(rows: rows, columns: columns, on: backend, part)
            }
            let parts = shared.next(rows: rows, columns: (0..<size).map { _ in columns }, backend)
            part(parts[rank])
            shared.meet()
            return Self.sum(parts)
        }

        public func join(
            rows: Int, columns: Int, on backend: any Backend, _ part: (Matrix) -> Void
        ) -> Matrix {
            guard let shared, shared.holds(rows: rows, columns: shard.largest(of: columns), backend) else {
                return exchangedJoin(rows: rows, columns: columns, on: backend, part)
            }
            let ranges = (0..<size).map { self.columns(of: $0, among: columns) }
            let parts = shared.next(rows: rows, columns: ranges.map(\.count), backend)
            let joined = backend.makeMatrix(rows: rows, columns: columns)
            part(rank == 0 ? joined.columns(ranges[0]) : parts[rank])
            shared.meet()
            guard rank == 0 else { return joined }
            for other in 1..<size { joined.columns(ranges[other]).copy(parts[other]) }
            return joined
        }

        /// Waits by asking, so that a rank that is gone ends the wait.
        private func exchange(_ parts: Matrix, everybody: Bool) {
            guard !health.hasFailed else { return }
            isUnsettled.store(true, ordering: .relaxed)
            let start = (parts.buffer.address + 4 * parts.offset).assumingMemoryBound(to: Float.self)
            wait(llm_mpi_begin(start, parts.rows / size * parts.columns, everybody ? 1 : 0))
            withExtendedLifetime(parts) {}
        }

        public func settle() {
            guard isUnsettled.exchange(false, ordering: .relaxed), !health.hasFailed else { return }
            wait(llm_mpi_begin_settling())
        }

        /// Waits for what has begun with `code`.
        private func wait(_ code: Int32) {
            var (code, done): (Int32, Int32) = (code, 0)
            while code == 0, done == 0, !health.hasFailed { code = llm_mpi_poll(&done) }
            if code != 0 { health.fail(.exchange(Self.text(code))) }
        }

        fileprivate static func text(_ code: Int32) -> String {
            var bytes = [CChar](repeating: 0, count: 512)
            llm_mpi_describe(code, &bytes, bytes.count)
            return String(
                decoding: bytes.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        }
    }

    extension Communicator {
        // What a conformer of its own does where there is no shorter way.
        fileprivate func exchangedSum(
            rows: Int, columns: Int, on backend: any Backend, _ part: (Matrix) -> Void
        ) -> Matrix {
            ByExchange(self).sum(rows: rows, columns: columns, on: backend, part)
        }

        fileprivate func exchangedJoin(
            rows: Int, columns: Int, on backend: any Backend, _ part: (Matrix) -> Void
        ) -> Matrix {
            ByExchange(self).join(rows: rows, columns: columns, on: backend, part)
        }
    }

    /// Another communicator's exchanges, and nothing else of it.
    private final class ByExchange: Communicator {
        private let other: any Communicator
        var rank: Int { other.rank }
        var size: Int { other.size }

        init(_ other: any Communicator) { self.other = other }

        func allGather(_ parts: Matrix) { other.allGather(parts) }
        func gather(_ parts: Matrix) { other.gather(parts) }
    }

    /// Memory that the ranks of one machine share: each writes its part where all can read it.
    ///
    /// A rank has two areas, used in turn. Whoever comes to a meeting has read what the one before was about, so what
    /// is written after it disturbs nobody.
    private final class SharedAreas: @unchecked Sendable {
        // Unsafe: a rank writes its own areas only, and reads others' after a meeting. One thread at a time.
        private let rank: Int
        private let starts: [UnsafeMutableRawPointer]
        private let health: GroupHealth
        private var meetings: UInt64 = 0

        /// Bytes of an area. More is exchanged.
        private static let capacity = 8 << 20
        /// Before the areas: how many meetings the rank has come to.
        private static let flagBytes = 4096 - 64

        init(rank: Int, size: Int, _ health: GroupHealth) throws(GroupFailure) {
            var areas = [UnsafeMutableRawPointer?](repeating: nil, count: size)
            let code = llm_mpi_share(Self.flagBytes + 2 * Self.capacity + 64, &areas)
            guard code == 0 else { throw .exchange(MPICommunicator.text(code)) }
            // Kernels like whole cache lines; pages lie alike in all processes.
            starts = areas.compactMap { $0?.alignedUp(toMultipleOf: 64) }
            (self.rank, self.health) = (rank, health)
        }

        /// Whether parts of this shape fit, and `backend` works in the machine's own memory.
        func holds(rows: Int, columns: Int, _ backend: any Backend) -> Bool {
            4 * rows * columns <= Self.capacity && backend.freeMemory == nil
        }

        /// Where the ranks write next.
        func next(rows: Int, columns: [Int], _ backend: any Backend) -> [Matrix] {
            let offset = Self.flagBytes + (meetings.isMultiple(of: 2) ? 0 : Self.capacity)
            return zip(starts, columns).map { start, columns in
                Matrix(
                    rows: rows, columns: columns, backend: backend, buffer: Buffer(address: start + offset))
            }
        }

        /// Waits until all have written.
        func meet() {
            meetings += 1
            let number = meetings
            func flag(_ rank: Int) -> UnsafeMutablePointer<UInt64> {
                starts[rank].assumingMemoryBound(to: UInt64.self)
            }
            llm_mpi_announce(flag(rank), number)
            for other in starts.indices where other != rank {
                var tries = 0
                while llm_mpi_has_announced(flag(other), number) == 0, !health.hasFailed {
                    tries += 1
                    // The other one may be waiting for this processor.
                    if tries > 2000 { sched_yield() }
                }
            }
        }
    }
#endif
