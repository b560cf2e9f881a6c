import CKernels
import Foundation
public import Tensors

extension CPUBackend {
    public func makeCache(
        _ layout: CacheLayout, slots: Int, element: CacheElement
    ) throws(CacheMemoryError) -> any KeyValueCache {
        try CPUCache(layout: layout, slots: slots, element: element)
    }

    public func attend(
        _ q: Matrix, _ k: Matrix, _ v: Matrix, _ shape: AttentionShape, in pass: ForwardPass, layer: Int,
        into y: Matrix
    ) {
        guard let cache = pass.cache as? CPUCache else { preconditionFailure("a cache of another backend") }
        split(rows: k.rows, cost: k.columns) { rows in
            spread(q, k, rows: rows, shape, for: cache)
            store(k, v, rows: rows, pass.newSlots, cache, layer)
        }
        attendStored(q, shape, in: pass, cache, layer, into: y)
        withExtendedLifetime((k, v)) {}
    }

    /// Rotates and stores each row in one go.
    public func attend(
        _ q: Matrix, _ k: Matrix, _ v: Matrix, rotatedBy table: RotationTable, _ shape: AttentionShape,
        in pass: ForwardPass, layer: Int, into y: Matrix
    ) {
        guard let cache = pass.cache as? CPUCache else { preconditionFailure("a cache of another backend") }
        split(rows: k.rows, cost: q.columns + 2 * k.columns) { rows in
            rotate(q, rows: rows, heads: shape.queryHeads, by: table)
            rotate(k, rows: rows, heads: shape.keyValueHeads, by: table)
            spread(q, k, rows: rows, shape, for: cache)
            store(k, v, rows: rows, pass.newSlots, cache, layer)
        }
        attendStored(q, shape, in: pass, cache, layer, into: y)
        withExtendedLifetime((k, v)) {}
    }

    private func attendStored(
        _ q: Matrix, _ shape: AttentionShape, in pass: ForwardPass, _ cache: CPUCache, _ layer: Int,
        into y: Matrix
    ) {
        let plan = pass.plan(for: shape) { AttentionPlan(shape, pass, workers: workers.width) }
        let states = plan.stateCount > 0 ? buffer(bytes: 4 * plan.stateCount) : nil
        let scratch = threadBuffers(
            bytes: 4 * kernels.attention_scratch(plan.mostQueries, shape.keyWidth, shape.valueWidth))
        let whole = call(q, shape, plan, cache, layer, into: y)
        nonisolated(unsafe) let state = states?.address.assumingMemoryBound(to: Float.self)
        nonisolated(unsafe) let (tasks, joints) = (plan.tasks, plan.joints)
        let (attend, combine) = (kernels.attend, kernels.combine)
        workers.run(parts: tasks.count) { index, thread in
            var call = tasks[index].call(whole, state)
            call.scratch = scratch[thread].assumingMemoryBound(to: Float.self)
            attend(&call)
        }
        // Parts that different tasks computed become one, in their order.
        workers.run(parts: joints.count) { index in
            var call = joints[index].task.call(whole, state)
            combine(&call, joints[index].count, joints[index].stride)
        }
        withExtendedLifetime((q, y, states, plan, scratch)) {}
    }

    /// Keys in int8 have one scale a head, which a single large column would make coarse for all (QuaRot,
    /// arXiv 2404.00456).
    private func spread(
        _ q: Matrix, _ k: Matrix, rows: Range<Int>, _ shape: AttentionShape, for cache: CPUCache
    ) {
        guard cache.element == .int8 else { return }
        for (x, heads) in [(q, shape.queryHeads), (k, shape.keyValueHeads)] {
            kernels.spread_heads(x.row(rows.lowerBound), x.rowStride, rows.count, heads, shape.keyWidth)
        }
    }

    private func store(
        _ k: Matrix, _ v: Matrix, rows: Range<Int>, _ newSlots: [Int32], _ cache: CPUCache, _ layer: Int
    ) {
        newSlots.withUnsafeBufferPointer { slots in
            guard let slots = slots.baseAddress else { return }
            let stored = [(k, cache.keys(layer)), (v, cache.values(layer))]
            for (x, memory) in stored.prefix(cache.keysHoldValues ? 1 : 2) {
                var call = llm_store(
                    element: cache.element.kernel, x: x.row(rows.lowerBound), x_stride: x.rowStride,
                    rows: rows.count, heads: cache.layout.heads, width: x.columns / cache.layout.heads,
                    slots: slots + rows.lowerBound, cache: memory.numbers, scales: memory.scales)
                kernels.store_rows(&call)
            }
        }
    }

    /// What all tasks of a layer have in common; a task adds its rows, head, slots and parts.
    private func call(
        _ q: Matrix, _ shape: AttentionShape, _ plan: AttentionPlan, _ cache: CPUCache, _ layer: Int,
        into y: Matrix
    ) -> llm_attention {
        let (keys, values) = (cache.keys(layer), cache.values(layer))
        let pattern = shape.reach.pattern
        return llm_attention(
            q: q.row(0), q_stride: q.rowStride, rows: 0, first_position: 0,
            row_step: shape.reach.isCausal ? 1 : 0, window: shape.reach.width ?? .max,
            element: cache.element.kernel, keys: keys.numbers, values: values.numbers,
            key_scales: keys.scales, value_scales: values.scales, key_width: shape.keyWidth,
            value_width: shape.valueWidth, value_stride: values.width, group: 0, first_query_head: 0,
            kv_heads: shape.keyValueHeads,
            first_kv_head: 0, last_kv_head: 0,
            slots: keys.numbers.assumingMemoryBound(to: Int32.self), first_part: 0, last_part: 0,
            scale: shape.scale, has_softcap: shape.softcap != nil, softcap: shape.softcap ?? 0,
            slopes: plan.slopes?.baseAddress, block_positions: pattern?.positions ?? 0,
            near_blocks: pattern?.near ?? 0, block_stride: pattern?.stride ?? 1,
            head_step: pattern?.headStep ?? 0, first_head: pattern?.firstHead ?? 0,
            scratch: y.row(0), state: nil, y: y.row(0),
            y_stride: y.rowStride)
    }
}

/// Some rows of one sequence, some key-value heads, and some parts of the context. Plain numbers and addresses, so
/// that threads which read it at once count no references.
private struct AttentionTask: BitwiseCopyable {
    let firstRow: Int
    let rows: Int
    let firstPosition: Int
    let (firstHead, lastHead): (Int, Int)
    /// Query heads of the task to each key-value head, and the first of them.
    let (group, firstQueryHead): (Int, Int)
    // Unsafe: the plan keeps the array alive.
    let slots: UnsafePointer<Int32>
    let (firstPart, lastPart): (Int, Int)
    /// Where the state goes when other tasks compute the other parts.
    let state: Int?

    init(
        firstRow: Int, rows: Int, firstPosition: Int, heads: Range<Int>, queryHeads: Range<Int>,
        slots: UnsafePointer<Int32>, parts: Range<Int>, state: Int?
    ) {
        (group, firstQueryHead) = (queryHeads.count / heads.count, queryHeads.lowerBound)
        (self.firstRow, self.rows, self.firstPosition) = (firstRow, rows, firstPosition)
        (self.slots, self.state) = (slots, state)
        (firstHead, lastHead) = (heads.lowerBound, heads.upperBound)
        (firstPart, lastPart) = (parts.lowerBound, parts.upperBound)
    }

    func call(_ whole: llm_attention, _ states: UnsafeMutablePointer<Float>?) -> llm_attention {
        var call = whole
        (call.q, call.y) = (whole.q + firstRow * whole.q_stride, whole.y + firstRow * whole.y_stride)
        (call.rows, call.first_position) = (rows, firstPosition)
        (call.first_kv_head, call.last_kv_head, call.slots) = (firstHead, lastHead, slots)
        (call.first_part, call.last_part) = (firstPart, lastPart)
        (call.group, call.first_query_head) = (group, firstQueryHead)
        call.state = state.flatMap { offset in states.map { $0 + offset } }
        return call
    }

    /// How many query heads it has.
    var queryHeads: Int { group * (lastHead - firstHead) }

    /// The same for one part, whose state goes to `state`.
    func part(_ part: Int, state: Int) -> AttentionTask {
        AttentionTask(
            firstRow: firstRow, rows: rows, firstPosition: firstPosition, heads: firstHead..<lastHead,
            queryHeads: firstQueryHead..<firstQueryHead + queryHeads, slots: slots, parts: part..<part + 1,
            state: state)
    }
}

/// How the attention of a step is shared out. Nothing about a result depends on it.
private final class AttentionPlan: @unchecked Sendable {
    // Unsafe: never changes once made; the addresses in it are of arrays that it holds.

    /// States of several tasks that make one result.
    struct Joint: BitwiseCopyable {
        let task: AttentionTask
        let count: Int
        let stride: Int
    }

    let tasks: UnsafeBufferPointer<AttentionTask>
    let joints: UnsafeBufferPointer<Joint>
    let slopes: UnsafeBufferPointer<Float>?
    /// Floats of all states.
    let stateCount: Int
    /// Pairs of a row and a query head of the largest task.
    let mostQueries: Int
    private let slots: [[Int32]]

    /// Positions of one part.
    private static let partPositions = 256
    /// Queries that share the keys a task has loaded.
    private static let queries = 48

    init(_ shape: AttentionShape, _ pass: ForwardPass, workers: Int) {
        slots = pass.sequences.map(\.contextSlots)
        slopes = shape.slopes?.copied()
        let rowsTogether = max(1, Self.queries / shape.group)
        // Few rows leave workers idle unless their contexts are cut.
        let cuts = pass.positions.count * shape.keyValueHeads < 4 * workers * rowsTogether
        // The heads of a position lie side by side. Where there are sequences enough, few rows read them so.
        let readsTogether = pass.sequences.count >= 2 * workers && shape.isEven
        let headsTogether = readsTogether ? max(1, 16 / shape.group) : 1
        var lists = Lists()
        for sequence in pass.sequences {
            guard let slots = sequence.contextSlots.withUnsafeBufferPointer({ $0.baseAddress }) else {
                continue
            }
            for start in stride(
                from: sequence.rows.lowerBound, to: sequence.rows.upperBound, by: rowsTogether)
            {
                let rows = min(rowsTogether, sequence.rows.upperBound - start)
                let seen = shape.reach.span(of: start..<start + rows, sequence, pass)
                let first = shape.reach.firstKey(for: seen.lowerBound) / Self.partPositions
                let parts = first..<seen.upperBound / Self.partPositions + 1
                let heads = rows == 1 ? headsTogether : 1
                for head in stride(from: 0, to: shape.keyValueHeads, by: heads) {
                    let last = min(head + heads, shape.keyValueHeads)
                    let queryHeads =
                        shape.queryHeads(of: head).lowerBound..<shape.queryHeads(of: last - 1).upperBound
                    let task = AttentionTask(
                        firstRow: start, rows: rows, firstPosition: seen.lowerBound, heads: head..<last,
                        queryHeads: queryHeads, slots: slots, parts: parts, state: nil)
                    lists.append(task, cut: cuts, width: shape.valueWidth)
                }
            }
        }
        (tasks, joints) = (lists.tasks.copied(), lists.joints.copied())
        (stateCount, mostQueries) = (lists.stateCount, lists.mostQueries)
    }

    deinit {
        tasks.deallocate()
        joints.deallocate()
        slopes?.deallocate()
    }

    private struct Lists {
        var tasks: [AttentionTask] = []
        var joints: [Joint] = []
        var stateCount = 0
        var mostQueries = 0

        /// Adds the task, or one for each of its parts.
        mutating func append(_ task: AttentionTask, cut: Bool, width: Int) {
            let queries = task.rows * task.queryHeads
            mostQueries = max(mostQueries, queries)
            guard cut, task.lastPart - task.firstPart > 1 else {
                tasks.append(task)
                return
            }
            let (first, size) = (tasks.count, queries * (width + 2))
            for part in task.firstPart..<task.lastPart {
                tasks.append(task.part(part, state: stateCount))
                stateCount += size
            }
            joints.append(Joint(task: tasks[first], count: tasks.count - first, stride: size))
        }
    }
}

extension Array where Element: BitwiseCopyable {
    /// A copy for its owner to deallocate.
    fileprivate func copied() -> UnsafeBufferPointer<Element> {
        let copy = UnsafeMutableBufferPointer<Element>.allocate(capacity: count)
        _ = copy.initialize(from: self)
        return UnsafeBufferPointer(copy)
    }
}
