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
            pass.newSlots.withUnsafeBufferPointer { slots in
                guard let slots = slots.baseAddress else { return }
                for (x, memory) in [(k, cache.keys(layer)), (v, cache.values(layer))] {
                    kernels.store_rows(
                        cache.element.kernel, x.row(rows.lowerBound), x.rowStride, rows.count, x.columns,
                        slots + rows.lowerBound, memory)
                }
            }
        }
        let plan = AttentionPlan(shape, pass, workers: workers.width)
        let states = plan.stateCount > 0 ? buffer(bytes: 4 * plan.stateCount) : nil
        workers.run(parts: plan.tasks.count) { index in
            perform(plan.tasks[index], q, shape, pass, cache, layer, states, into: y)
        }
        // Parts that different tasks computed become one, in their order.
        workers.run(parts: plan.joints.count) { index in
            let joint = plan.joints[index]
            withCall(joint.task, q, shape, pass, cache, layer, states, into: y) { call in
                kernels.combine(&call, joint.count, joint.stride)
            }
        }
        withExtendedLifetime((q, k, v, y, states)) {}
    }

    private func perform(
        _ task: AttentionTask, _ q: Matrix, _ shape: AttentionShape, _ pass: ForwardPass, _ cache: CPUCache,
        _ layer: Int, _ states: Buffer?, into y: Matrix
    ) {
        let group = shape.queryHeads / shape.keyValueHeads
        let scratch = buffer(
            bytes: 4
                * kernels.attention_scratch(task.rows.count, group, shape.keyWidth, shape.valueWidth))
        withCall(task, q, shape, pass, cache, layer, states, into: y) { call in
            call.scratch = scratch.address.assumingMemoryBound(to: Float.self)
            kernels.attend(&call)
        }
        withExtendedLifetime(scratch) {}
    }

    /// Describes `task` to a kernel, but for its scratch memory.
    private func withCall(
        _ task: AttentionTask, _ q: Matrix, _ shape: AttentionShape, _ pass: ForwardPass, _ cache: CPUCache,
        _ layer: Int, _ states: Buffer?, into y: Matrix, _ body: (inout llm_attention) -> Void
    ) {
        pass.sequences[task.sequence].contextSlots.withUnsafeBufferPointer { slots in
            guard let slots = slots.baseAddress else { return }
            let state = task.state.flatMap { offset in
                states.map { $0.address.assumingMemoryBound(to: Float.self) + offset }
            }
            let first = task.rows.lowerBound
            var call = llm_attention(
                q: q.row(first), q_stride: q.rowStride, rows: task.rows.count,
                first_position: Int(pass.positions[first]), window: shape.reach.width ?? .max,
                element: cache.element.kernel, keys: cache.keys(layer), values: cache.values(layer),
                key_width: shape.keyWidth, value_width: shape.valueWidth, query_heads: shape.queryHeads,
                kv_heads: shape.keyValueHeads, kv_head: task.head, slots: slots,
                first_part: task.parts.lowerBound, last_part: task.parts.upperBound, scale: shape.scale,
                has_softcap: false, softcap: 0, scratch: y.row(first), state: state, y: y.row(first),
                y_stride: y.rowStride)
            body(&call)
        }
    }
}

/// Some rows of one sequence, one key-value head, and some parts of the context.
private struct AttentionTask {
    let sequence: Int
    let rows: Range<Int>
    let head: Int
    let parts: Range<Int>
    /// Where the state goes when other tasks compute the other parts.
    let state: Int?
}

/// How the attention of a step is shared out. Nothing about a result depends on it.
private struct AttentionPlan {
    /// States of several tasks that make one result.
    struct Joint {
        let task: AttentionTask
        let count: Int
        let stride: Int
    }

    private(set) var tasks: [AttentionTask] = []
    private(set) var joints: [Joint] = []
    /// Floats of all states.
    private(set) var stateCount = 0

    /// Positions of one part.
    private static let partPositions = 256
    /// Queries that share the keys a task has loaded.
    private static let queries = 48

    init(_ shape: AttentionShape, _ pass: ForwardPass, workers: Int) {
        let group = shape.queryHeads / shape.keyValueHeads
        let rowsTogether = max(1, Self.queries / group)
        // Few rows leave workers idle unless their contexts are cut.
        let cuts = pass.positions.count * shape.keyValueHeads < 4 * workers * rowsTogether
        for (index, sequence) in pass.sequences.enumerated() {
            for start in stride(
                from: sequence.rows.lowerBound, to: sequence.rows.upperBound, by: rowsTogether)
            {
                let rows = start..<min(start + rowsTogether, sequence.rows.upperBound)
                let first = shape.reach.firstKey(for: Int(pass.positions[start])) / Self.partPositions
                let parts = first..<Int(pass.positions[rows.upperBound - 1]) / Self.partPositions + 1
                for head in 0..<shape.keyValueHeads {
                    if cuts, parts.count > 1 {
                        append(index, rows, head, parts, size: rows.count * group * (shape.valueWidth + 2))
                    } else {
                        tasks.append(
                            AttentionTask(sequence: index, rows: rows, head: head, parts: parts, state: nil))
                    }
                }
            }
        }
    }

    /// A task for each part.
    private mutating func append(
        _ sequence: Int, _ rows: Range<Int>, _ head: Int, _ parts: Range<Int>, size: Int
    ) {
        for part in parts {
            let task = AttentionTask(
                sequence: sequence, rows: rows, head: head, parts: part..<part + 1,
                state: stateCount + (part - parts.lowerBound) * size)
            if part == parts.lowerBound { joints.append(Joint(task: task, count: parts.count, stride: size)) }
            tasks.append(task)
        }
        stateCount += parts.count * size
    }
}

/// Keys and values in one mapping; a layer's keys, then its values. The system hands out pages as slots are
/// first used, and the pool reuses freed slots first.
final class CPUCache: KeyValueCache, @unchecked Sendable {
    // Unsafe: kernels write rows of new slots, which one sequence owns, on the thread that runs the pass.
    let layout: CacheLayout
    let element: CacheElement
    let slots: Int
    private let address: UnsafeMutableRawPointer
    private let byteCount: Int

    init(layout: CacheLayout, slots: Int, element: CacheElement) throws(CacheMemoryError) {
        (self.layout, self.slots, self.element) = (layout, slots, element)
        let bytesPerSlot = layout.bytesPerToken(element)
        let (bytes, overflow) = slots.multipliedReportingOverflow(by: bytesPerSlot)
        let mapped =
            overflow
            ? nil : mmap(nil, max(1, bytes), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        guard let mapped, mapped != MAP_FAILED else {
            throw CacheMemoryError(slots: slots, bytesPerSlot: bytesPerSlot)
        }
        (address, byteCount) = (mapped, max(1, bytes))
    }

    deinit { munmap(address, byteCount) }

    func keys(_ layer: Int) -> UnsafeMutableRawPointer {
        address + layer * slots * (layout.keyWidth + layout.valueWidth) * element.bytes
    }

    func values(_ layer: Int) -> UnsafeMutableRawPointer {
        keys(layer) + slots * layout.keyWidth * element.bytes
    }
}
