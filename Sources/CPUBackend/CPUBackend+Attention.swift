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
        let element = cache.element.kernel
        kernels.store_rows(
            element, k.row(0), k.rowStride, k.rows, k.columns, pass.newSlots, cache.keys(layer))
        kernels.store_rows(
            element, v.row(0), v.rowStride, v.rows, v.columns, pass.newSlots, cache.values(layer))
        let tasks = attentionTasks(shape, pass)
        workers.run(parts: tasks.count) { index in
            attend(tasks[index], q, shape, pass, cache, layer, into: y)
        }
        withExtendedLifetime((q, y)) {}
    }

    /// Cuts the step into parts of about equal numbers of query-key pairs: runs of one sequence's rows, and
    /// single heads where rows are few.
    private func attentionTasks(_ shape: AttentionShape, _ pass: ForwardPass) -> [AttentionTask] {
        func keys(_ row: Int) -> Int {
            let position = Int(pass.positions[row])
            return position - shape.reach.firstKey(for: position) + 1
        }
        let total = pass.positions.indices.reduce(0) { $0 + keys($1) }
        let share = max(total / (4 * workers.width), 512)
        var tasks: [AttentionTask] = []
        for (index, sequence) in pass.sequences.enumerated() {
            var (start, work) = (sequence.rows.lowerBound, 0)
            for row in sequence.rows {
                work += keys(row)
                guard work >= share || row + 1 == sequence.rows.upperBound else { continue }
                let heads = max(1, shape.keyValueHeads * share / max(work, share))
                for head in stride(from: 0, to: shape.keyValueHeads, by: heads) {
                    tasks.append(
                        AttentionTask(
                            sequence: index, rows: start..<row + 1,
                            heads: head..<min(head + heads, shape.keyValueHeads)))
                }
                (start, work) = (row + 1, 0)
            }
        }
        return tasks
    }

    private func attend(
        _ task: AttentionTask, _ q: Matrix, _ shape: AttentionShape, _ pass: ForwardPass, _ cache: CPUCache,
        _ layer: Int, into y: Matrix
    ) {
        let slots = pass.sequences[task.sequence].contextSlots
        let group = shape.queryHeads / shape.keyValueHeads
        let scratch = buffer(bytes: 4 * group * slots.count)
        slots.withUnsafeBufferPointer { slots in
            guard let slots = slots.baseAddress else { return }
            for row in task.rows {
                let position = Int(pass.positions[row])
                let first = shape.reach.firstKey(for: position)
                var call = llm_attention(
                    q: q.row(row), element: cache.element.kernel, keys: cache.keys(layer),
                    values: cache.values(layer), key_width: shape.keyWidth, value_width: shape.valueWidth,
                    query_heads: shape.queryHeads, kv_heads: shape.keyValueHeads,
                    first_kv_head: task.heads.lowerBound, last_kv_head: task.heads.upperBound, slots: slots,
                    first_key: first, key_count: position - first + 1, scale: shape.scale, has_softcap: false,
                    softcap: 0, scratch: scratch.address.assumingMemoryBound(to: Float.self), y: y.row(row))
                kernels.attend(&call)
            }
        }
        withExtendedLifetime(scratch) {}
    }
}

/// Some rows of one sequence and some of their heads.
private struct AttentionTask {
    let sequence: Int
    let rows: Range<Int>
    let heads: Range<Int>
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
