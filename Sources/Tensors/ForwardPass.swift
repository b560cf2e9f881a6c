import Synchronization

/// One step: the new tokens of every scheduled sequence, back to back, without padding.
public struct ForwardPass: Sendable {
    /// The part of the step that belongs to one sequence.
    public struct Sequence: Sendable {
        public let rows: Range<Int>
        /// The cache slots of the whole context in order of position, this step's tokens included.
        public let contextSlots: [Int32]

        public init(rows: Range<Int>, contextSlots: [Int32]) {
            (self.rows, self.contextSlots) = (rows, contextSlots)
        }
    }

    /// Rows whose vectors come from images instead of the table of tokens.
    public struct ImageRows: Sendable {
        public let rows: Range<Int>
        public let features: ImageFeatures
        /// The row of the features that the first one gets.
        public let first: Int

        public init(rows: Range<Int>, features: ImageFeatures, first: Int) {
            (self.rows, self.features, self.first) = (rows, features, first)
        }
    }

    /// One entry per row.
    public let tokens: [Int32]
    public let positions: [Int32]
    /// For models that turn by positions on several axes, those of all rows on the first, then those on the next;
    /// empty when they are `positions` on each.
    public let coordinates: [Int32]
    /// One entry per row: how many tokens the row's sequence has, those of later chunks included, for rotary
    /// embeddings that depend on it.
    public let lengths: [Int32]
    /// One entry per row: where its keys and values go.
    public let newSlots: [Int32]
    public let sequences: [Sequence]
    /// The rows whose logits are wanted, ascending.
    public let sampledRows: [Int32]
    public let images: [ImageRows]
    public let cache: any KeyValueCache
    public let backend: any Backend
    private let memo = PassMemo()

    public init(
        tokens: [Int32], positions: [Int32], lengths: [Int32], newSlots: [Int32], sequences: [Sequence],
        sampledRows: [Int32], images: [ImageRows] = [], coordinates: [Int32] = [],
        cache: any KeyValueCache, backend: any Backend
    ) {
        (self.images, self.coordinates) = (images, coordinates)
        (self.tokens, self.positions, self.lengths, self.newSlots) = (tokens, positions, lengths, newSlots)
        (self.sequences, self.sampledRows) = (sequences, sampledRows)
        (self.cache, self.backend) = (cache, backend)
    }

    /// Attention of the step's rows over their sequences: `rows` x `queryHeads * valueWidth`.
    public func attend(_ q: Matrix, _ k: Matrix, _ v: Matrix, _ shape: AttentionShape, layer: Int) -> Matrix {
        let y = backend.makeMatrix(rows: q.rows, columns: shape.queryHeads * shape.valueWidth)
        backend.attend(q, k, v, shape, in: self, layer: layer, into: y)
        return y
    }

    /// The same after the heads of `q` and `k` were rotated in place, each row by its position.
    public func attend(
        _ q: Matrix, _ k: Matrix, _ v: Matrix, rotatedBy rotation: Rotation, _ shape: AttentionShape,
        layer: Int
    ) -> Matrix {
        let y = backend.makeMatrix(rows: q.rows, columns: shape.queryHeads * shape.valueWidth)
        backend.attend(q, k, v, rotatedBy: table(for: rotation), shape, in: self, layer: layer, into: y)
        return y
    }

    /// Rotates the heads of `x` in place, each row by its position.
    public func rotate(_ x: Matrix, heads: Int, by rotation: Rotation) {
        backend.rotate(x, heads: heads, by: table(for: rotation))
    }

    /// Layers share a rotation, so its table is made once a step.
    private func table(for rotation: Rotation) -> RotationTable {
        memo.made.withLock { made in
            if let table = made.tables.first(where: { $0.rotation === rotation }) { return table }
            let table = backend.makeRotationTable(
                rotation, positions: places(on: rotation.axisCount), lengths: lengths)
            made.tables.append(table)
            return table
        }
    }

    private func places(on axes: Int) -> [Int32] {
        guard axes > 1 else { return positions }
        return coordinates.isEmpty ? Array(repeatElement(positions, count: axes).joined()) : coordinates
    }

    /// What a backend works out once for all layers whose attention has this shape.
    public func plan<Plan: AnyObject & Sendable>(
        for shape: AttentionShape, _ make: () -> Plan
    ) -> Plan {
        memo.made.withLock { made in
            if let plan = made.plans.first(where: { $0.shape == shape })?.plan as? Plan { return plan }
            let plan = make()
            made.plans.append((shape, plan))
            return plan
        }
    }
}

extension AttentionShape.Reach {
    /// From where the first of `rows`, which are of `sequence`, stands to where the last does: the end of the
    /// sequence for all that see everything.
    public func span(of rows: Range<Int>, _ sequence: ForwardPass.Sequence, _ pass: ForwardPass)
        -> ClosedRange<Int>
    {
        let first = isCausal ? Int(pass.positions[rows.lowerBound]) : sequence.contextSlots.count - 1
        return first...(isCausal ? first + rows.count - 1 : first)
    }
}

/// What is worked out once a step.
private final class PassMemo: Sendable {
    struct Made {
        var tables: [RotationTable] = []
        var plans: [(shape: AttentionShape, plan: any AnyObject & Sendable)] = []
    }

    let made = Mutex(Made())
}
