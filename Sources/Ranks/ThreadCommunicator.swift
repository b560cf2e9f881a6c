import Foundation
public import Tensors

/// One of several threads that compute a model together in one process: for tests, and to see what splitting does.
public final class ThreadCommunicator: Communicator {
    public let rank: Int
    public var size: Int { hub.size }
    private let hub: ThreadHub

    private init(rank: Int, _ hub: ThreadHub) { (self.rank, self.hub) = (rank, hub) }

    /// As many as `size`, which belong together. They stop to wait for each other once `health` says so.
    public static func group(of size: Int, _ health: GroupHealth = GroupHealth()) -> [ThreadCommunicator] {
        let hub = ThreadHub(size: size, health)
        return (0..<size).map { ThreadCommunicator(rank: $0, hub) }
    }

    public func allGather(_ parts: Matrix) { exchange(parts, takes: true) }

    public func gather(_ parts: Matrix) { exchange(parts, takes: rank == 0) }

    private func exchange(_ parts: Matrix, takes: Bool) {
        let bytes = 4 * parts.rows / size * parts.columns
        let start = parts.buffer.address + 4 * parts.offset
        guard hub.meet(rank, start) else { return }
        if takes {
            for other in 0..<size where other != rank {
                (start + other * bytes).copyMemory(
                    from: hub.address(of: other) + other * bytes, byteCount: bytes)
            }
        }
        // Nobody's part may go before all have it.
        _ = hub.meet(rank, start)
        withExtendedLifetime(parts) {}
    }
}

/// Where the threads of a group meet.
private final class ThreadHub: @unchecked Sendable {
    // Unsafe: addresses are written before a meeting and read after it, under its lock.
    let size: Int
    private let health: GroupHealth
    private let condition = NSCondition()
    private var addresses: [UnsafeMutableRawPointer?]
    private var arrived = 0
    private var meetings = 0

    init(size: Int, _ health: GroupHealth) {
        (self.size, self.health) = (size, health)
        addresses = Array(repeating: nil, count: size)
        health.onFailure { [condition] _ in
            condition.lock()
            condition.broadcast()
            condition.unlock()
        }
    }

    /// Waits until all are here; false when the group has failed.
    func meet(_ rank: Int, _ address: UnsafeMutableRawPointer) -> Bool {
        condition.lock()
        defer { condition.unlock() }
        guard !health.hasFailed else { return false }
        addresses[rank] = address
        arrived += 1
        let meeting = meetings
        if arrived == size {
            (arrived, meetings) = (0, meetings + 1)
            condition.broadcast()
        }
        while meetings == meeting, !health.hasFailed { condition.wait() }
        // Whoever left before counts as one who came.
        return meetings != meeting && !health.hasFailed
    }

    func address(of rank: Int) -> UnsafeRawPointer {
        condition.lock()
        defer { condition.unlock() }
        guard let address = addresses[rank] else { preconditionFailure("rank \(rank) was not here") }
        return UnsafeRawPointer(address)
    }
}
