/// Hands out the cache's token slots. One slot holds one token's keys and values in every layer.
public final class SlotPool {
    public let capacity: Int
    /// Freed slots; used before untouched ones so that memory in use stays small.
    private var free: [Int32] = []
    /// Slots from here on have never been handed out.
    private var untouched: Int32 = 0

    public init(capacity: Int) {
        precondition(capacity >= 0 && capacity <= Int(Int32.max), "\(capacity) slots")
        self.capacity = capacity
    }

    public var available: Int { free.count + capacity - Int(untouched) }

    /// Takes `count` slots, or nothing when that many are not free.
    public func lease(_ count: Int) -> SlotLease? {
        var slots: [Int32] = []
        return take(count, into: &slots) ? SlotLease(slots: slots, pool: self) : nil
    }

    /// Appends `count` free slots; false, and nothing taken, when that many are not free.
    fileprivate func take(_ count: Int, into slots: inout [Int32]) -> Bool {
        if count == 1, let slot = free.popLast() {
            slots.append(slot)
            return true
        }
        guard count >= 0, count <= available else { return false }
        let reused = min(count, free.count)
        slots.append(contentsOf: free.suffix(reused))
        free.removeLast(reused)
        let fresh = Int32(count - reused)
        slots.append(contentsOf: untouched..<untouched + fresh)
        untouched += fresh
        return true
    }

    fileprivate func reclaim(_ slots: some Collection<Int32>) { free.append(contentsOf: slots) }

    /// Whether `leased` and the free slots together are every slot exactly once; for tests.
    public func isConsistent(leased: [[Int32]]) -> Bool {
        var seen = Set<Int32>()
        for slot in leased.joined() where !seen.insert(slot).inserted { return false }
        for slot in free where !seen.insert(slot).inserted { return false }
        return seen.count == Int(untouched) && seen.allSatisfy { (0..<untouched).contains($0) }
    }
}

/// Sole ownership of some slots. Not copyable, so they cannot be returned twice; destroying it returns them,
/// so they cannot be forgotten.
public struct SlotLease: ~Copyable {
    public private(set) var slots: [Int32]
    private let pool: SlotPool

    fileprivate init(slots: [Int32], pool: SlotPool) { (self.slots, self.pool) = (slots, pool) }

    /// Adds `count` slots of the same pool; false, and nothing taken, when that many are not free.
    public mutating func grow(by count: Int) -> Bool { pool.take(count, into: &slots) }

    /// Gives away the first `count` slots, at most all.
    public mutating func splitFirst(_ count: Int) -> SlotLease {
        defer { slots.removeFirst(min(count, slots.count)) }
        return SlotLease(slots: Array(slots.prefix(count)), pool: pool)
    }

    /// Gives away the last `count` slots, at most all.
    public mutating func splitLast(_ count: Int) -> SlotLease {
        defer { slots.removeLast(min(count, slots.count)) }
        return SlotLease(slots: Array(slots.suffix(count)), pool: pool)
    }

    deinit { pool.reclaim(slots) }
}

/// The slots of a sequence's tokens in order: those of the prefix that it shares, then its own, which it returns
/// when it is destroyed.
struct SlotTable: ~Copyable {
    private(set) var slots: [Int32]
    private(set) var sharedCount: Int
    private let pool: SlotPool

    /// Begins with `shared` slots, which others own.
    init(_ shared: [Int32], _ pool: SlotPool) {
        (slots, sharedCount, self.pool) = (shared, shared.count, pool)
    }

    /// Adds `count` slots of the pool; false, and nothing taken, when that many are not free.
    mutating func grow(by count: Int) -> Bool { pool.take(count, into: &slots) }

    /// Gives up what it owns of the first `count` slots: whoever takes the lease owns them, and they stay here as
    /// shared ones. `change` may name others in their place.
    mutating func share<Result>(
        upTo count: Int, _ change: (consuming SlotLease, inout [Int32]) -> Result
    ) -> Result {
        let lease = SlotLease(slots: Array(slots[sharedCount..<max(count, sharedCount)]), pool: pool)
        sharedCount = max(count, sharedCount)
        return change(lease, &slots)
    }

    deinit { pool.reclaim(slots[sharedCount...]) }
}
