/// Processes, or threads of one, that compute a model together: each holds a part of the weights and computes a part
/// of every step. All of them call the same operations, in the same order.
///
/// What they exchange is never added up on the way. A sum is made of all parts in the order of ranks, so it has the
/// same bits whatever else is in the step, and the same ones everywhere.
public protocol Communicator: AnyObject, Sendable {
    /// This one's number, from 0.
    var rank: Int { get }
    /// How many there are.
    var size: Int { get }
    /// Whether anything is exchanged. Where only sizes matter, nothing is.
    var exchanges: Bool { get }
    /// Gives everybody all parts. `parts` is contiguous and has as many rows for each rank, in their order; those of
    /// this rank are filled in before.
    ///
    /// Once the group has failed it returns at once, and what it leaves is undefined.
    func allGather(_ parts: Matrix)
    /// The same, for rank 0 alone.
    func gather(_ parts: Matrix)
    /// Called after the last exchange of a step: a rank that has nothing to do afterwards has nothing left to bring away.
    func settle()

    // With a shorter way where ranks share memory.

    /// The sum of what `part` writes, one matrix of `rows` x `columns`, for each rank.
    func sum(rows: Int, columns: Int, on backend: any Backend, _ part: (Matrix) -> Void) -> Matrix
    /// What `part` writes for each rank, side by side: this one's columns of `columns`, all of which each has an equal
    /// share of. Only rank 0 gets them; elsewhere the values are undefined.
    func join(rows: Int, columns: Int, on backend: any Backend, _ part: (Matrix) -> Void) -> Matrix
}

extension Communicator {
    public var exchanges: Bool { true }

    public func settle() {}

    /// Which part of the weights this one holds.
    public var shard: Shard { Shard(index: rank, of: size) }

    public func sum(
        rows: Int, columns: Int, on backend: any Backend, _ part: (Matrix) -> Void
    ) -> Matrix {
        let all = backend.makeMatrix(rows: size * rows, columns: columns)
        part(all.rows(rank * rows..<(rank + 1) * rows))
        allGather(all)
        return Self.sum((0..<size).map { all.rows($0 * rows..<($0 + 1) * rows) })
    }

    /// Of all parts, in their order.
    public static func sum(_ parts: [Matrix]) -> Matrix { parts.dropFirst().reduce(parts[0]) { $0 + $1 } }

    /// The columns that a rank writes when all have `columns` together.
    public func columns(of rank: Int, among columns: Int) -> Range<Int> {
        Shard(index: rank, of: size).range(of: columns)
    }

    public func join(
        rows: Int, columns: Int, on backend: any Backend, _ part: (Matrix) -> Void
    ) -> Matrix {
        let parts = backend.makeMatrix(rows: size * rows, columns: shard.largest(of: columns))
        func area(_ rank: Int) -> Matrix {
            parts.rows(rank * rows..<(rank + 1) * rows)
                .columns(0..<self.columns(of: rank, among: columns).count)
        }
        part(area(rank))
        gather(parts)
        let joined = backend.makeMatrix(rows: rows, columns: columns)
        guard rank == 0 else { return joined }
        for rank in 0..<size {
            joined.columns(self.columns(of: rank, among: columns)).copy(area(rank))
        }
        return joined
    }
}

/// One process that computes alone.
public final class SingleCommunicator: Communicator {
    public var rank: Int { 0 }
    public var size: Int { 1 }

    public init() {}

    public func allGather(_ parts: Matrix) {}
    public func gather(_ parts: Matrix) {}
}

/// One of several that only exist in a plan.
public final class PlannedCommunicator: Communicator {
    public let rank: Int
    public let size: Int
    public var exchanges: Bool { false }

    public init(_ shard: Shard) { (rank, size) = (shard.index, shard.count) }

    public func allGather(_ parts: Matrix) {}
    public func gather(_ parts: Matrix) {}
}

/// One of `count` parts that a thing is cut into.
public struct Shard: Sendable, Equatable {
    public let index: Int
    public let count: Int

    public static let whole = Shard(index: 0, of: 1)

    public init(index: Int, of count: Int) {
        precondition(count > 0 && (0..<count).contains(index), "part \(index) of \(count)")
        (self.index, self.count) = (index, count)
    }

    public var isWhole: Bool { count == 1 }

    /// This part of the numbers below `total`. Cuts are at multiples of `grain`, of which `total` is one too; parts
    /// differ by at most one grain.
    public func range(of total: Int, grain: Int = 1) -> Range<Int> {
        let grains = total / grain
        return grains * index / count * grain..<grains * (index + 1) / count * grain
    }

    /// The number of the part of `total` numbers that is the largest.
    public func largest(of total: Int) -> Int { (total + count - 1) / count }
}
