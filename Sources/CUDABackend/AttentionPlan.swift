import CUDARuntime
import Tensors

/// A kernel of the attention with tensor cores.
struct TileKernel: Sendable {
    let element: CacheElement
    /// Warps of a block, with 16 queries each.
    let warps: Int

    static let all = [CacheElement.bfloat16, .float16, .int8].flatMap { element in
        [1, 4].map { TileKernel(element: element, warps: $0) }
    }

    var name: String { "attend_tiles_\(element.kernel)_\(warps)" }

    /// As attention_tiles.cu lays it out: keys and values of 64 positions, 16 bytes between rows; twice where several warps
    /// share them, and for wide rows of bytes; for bytes the scales of two blocks.
    func sharedBytes(width: Int) -> Int {
        let stages = warps == 1 && (element != .int8 || width <= 128) ? 1 : 2
        let scales = element == .int8 ? 2 * 2 * 64 * 4 : 0
        return stages * 2 * 64 * (width * element.bytes + 16) + scales
    }

    /// Whether there are kernels for such a cache and such heads on the device.
    static func takes(_ shape: AttentionShape, _ element: CacheElement, on device: Device) -> Bool {
        let kernel = TileKernel(element: element, warps: 4)
        return element != .float32 && shape.keyWidth == shape.valueWidth && shape.keyWidth.isMultiple(of: 16)
            && shape.keyWidth <= 256 && kernel.sharedBytes(width: shape.keyWidth) <= device.sharedMemory
    }
}

/// A kernel of the attention over rows that hold keys and values, with tensor cores.
struct LatentKernel: Sendable {
    let element: CacheElement
    /// Of a block.
    let queries: Int

    static let all = [CacheElement.bfloat16, .float16].flatMap { element in
        [16, 32].map { LatentKernel(element: element, queries: $0) }
    }

    var name: String { "attend_latent_\(element.kernel)_\(queries)" }
    /// Eight warps.
    static let threads = 256

    /// As attention_latent.cu lays it out: queries and two tiles of 32 keys, 16 bytes between rows; probabilities.
    func sharedBytes(width: Int) -> Int { 2 * ((queries + 2 * 32) * (width + 8) + queries * (32 + 8)) }
}

/// Which kernels compute the attention of a layer.
enum AttentionKernels: Sendable {
    /// Every width and element, in plain steps.
    case plain
    /// Heads whose keys and values are equally wide.
    case tiles
    /// Heads whose keys hold their values.
    case latent

    /// The fastest for such a cache and such heads on the device.
    init(_ shape: AttentionShape, _ cache: DeviceCache, on device: Device) {
        let (keys, values) = (shape.keyWidth, shape.valueWidth)
        // What kernels have beside the memory that they ask for.
        let most = device.sharedMemory - 4096
        if cache.keysHoldValues {
            let largest = LatentKernel.all.map { $0.sharedBytes(width: keys) }.max() ?? 0
            let fits =
                keys.isMultiple(of: 32) && values.isMultiple(of: 64) && values <= 512 && largest <= most
            self = cache.element.bytes == 2 && fits && shape.hasPlainScores ? .latent : .plain
        } else {
            self = TileKernel.takes(shape, cache.element, on: device) ? .tiles : .plain
        }
    }

    /// The most queries of a task of a sequence with so many.
    func mostQueries(_ queries: Int) -> Int {
        switch self {
        case .plain: 64
        case .tiles: queries <= 16 ? 16 : 64
        case .latent: queries <= 16 ? 16 : 32
        }
    }
}

/// How the attention of a step is shared out, for all layers whose heads have one shape. It does not show in results.
final class AttentionPlan: @unchecked Sendable {
    // Unsafe: never changes once made.

    /// Tasks that one launch works on.
    struct Group {
        /// What a block has at most.
        let queries: Int
        let tasks: DeviceBuffer
        let count: Int
        let mostQueries: Int
    }

    let groups: [Group]
    /// The slots of all sequences, back to back.
    let slots: DeviceBuffer
    let newSlots: DeviceBuffer
    let slopes: DeviceBuffer?
    /// Rows whose parts are computed by several tasks, three numbers each.
    let joints: DeviceBuffer?
    let jointCount: Int
    /// States of all query heads of a row, all together.
    let stateCount: Int

    /// Positions of one part.
    static let partPositions = 256

    init(_ shape: AttentionShape, _ pass: ForwardPass, _ kernels: AttentionKernels, on backend: CUDABackend) {
        var lists = TaskLists(
            shape, pass, kernels, multiprocessors: backend.device.multiprocessors)
        lists.build()
        groups = lists.tasks.sorted { $0.key < $1.key }.map { queries, tasks in
            Group(
                queries: queries, tasks: backend.upload(longestFirst(tasks)), count: tasks.count,
                mostQueries: Int(tasks.map(\.queries).max() ?? 0))
        }
        slots = backend.upload(lists.slots)
        newSlots = backend.upload(pass.newSlots)
        slopes = shape.slopes.map { backend.upload($0) }
        jointCount = lists.joints.count / 3
        joints = lists.joints.isEmpty ? nil : backend.upload(lists.joints)
        stateCount = lists.stateCount
    }
}

/// Blocks of threads start in this order, so that none of the last ones works for long when the others are done.
private func longestFirst(_ tasks: [AttentionTask]) -> [AttentionTask] {
    tasks.sorted { $0.lastPart - $0.firstPart > $1.lastPart - $1.firstPart }
}

/// As attention.cuh has it.
struct AttentionTask: BitwiseCopyable {
    var firstRow: Int32
    var firstQuery: Int32
    var queries: Int32
    var firstPosition: Int32
    var slots: Int32
    var firstPart: Int32
    var lastPart: Int32
    var state: Int32
    var parts: Int32
}

/// Cuts a step's attention into tasks.
private struct TaskLists {
    private let shape: AttentionShape
    private let pass: ForwardPass
    private let kernels: AttentionKernels
    private let multiprocessors: Int
    private let group: Int
    /// By the most queries of a block.
    private(set) var tasks: [Int: [AttentionTask]] = [:]
    private(set) var slots: [Int32] = []
    private(set) var joints: [Int32] = []
    private(set) var stateCount = 0

    init(
        _ shape: AttentionShape, _ pass: ForwardPass, _ kernels: AttentionKernels, multiprocessors: Int
    ) {
        (self.shape, self.pass, self.kernels, self.multiprocessors) = (shape, pass, kernels, multiprocessors)
        group = shape.queryHeads / shape.keyValueHeads
    }

    mutating func build() {
        slots.reserveCapacity(pass.sequences.reduce(0) { $0 + $1.contextSlots.count })
        let blocks = pass.sequences.reduce(0) { sum, sequence in
            let queries = sequence.rows.count * group
            return sum + (queries + kernels.mostQueries(queries) - 1) / kernels.mostQueries(queries)
                * shape.keyValueHeads
        }
        for sequence in pass.sequences where !sequence.rows.isEmpty { append(sequence, blocks: blocks) }
    }

    /// States that take 256 MB. Sequences beyond are not cut.
    private var mostStates: Int { (256 << 20) / (4 * shape.queryHeads * (shape.valueWidth + 2)) }

    /// `blocks` is how many tasks there would be if no context were cut.
    private mutating func append(_ sequence: ForwardPass.Sequence, blocks: Int) {
        let first = sequence.rows.lowerBound, queries = sequence.rows.count * group
        let span = shape.reach.span(of: sequence.rows, sequence, pass)
        let (position, step) = (span.lowerBound, shape.reach.isCausal ? 1 : 0)
        let parts = parts(from: position, to: span.upperBound)
        let isShort = queries <= 16
        // Few tasks leave the device idle, and the last of a few long ones. A cut costs what its states take: where half of
        // the device is busy with prompts it gains less.
        let fits = stateCount + sequence.rows.count * parts.count <= mostStates
        let isCut =
            parts.count > 1 && fits
            && (isShort
                ? blocks < 2 * multiprocessors || parts.count > 8 : 2 * blocks < multiprocessors)
            || kernels == .tiles && shape.valueWidth > 128
        let state = isCut ? stateCount : nil
        let most = kernels.mostQueries(queries)
        for start in stride(from: 0, to: queries, by: most) {
            let count = min(most, queries - start)
            let rows = start / group...(start + count - 1) / group
            var task = AttentionTask(
                firstRow: Int32(first), firstQuery: Int32(start), queries: Int32(count),
                firstPosition: Int32(position), slots: Int32(slots.count), firstPart: 0, lastPart: 0,
                state: -1,
                parts: Int32(parts.count))
            let seen = self.parts(
                from: position + step * rows.lowerBound, to: position + step * rows.upperBound)
            for part in isCut ? seen.map({ $0..<$0 + 1 }) : [seen] {
                (task.firstPart, task.lastPart) = (Int32(part.lowerBound), Int32(part.upperBound))
                if let state { task.state = Int32(state + part.lowerBound - parts.lowerBound) }
                tasks[most, default: []].append(task)
            }
        }
        slots += sequence.contextSlots
        guard let state else { return }
        for row in 0..<sequence.rows.count {
            let seen = self.parts(from: position + step * row, to: position + step * row)
            let start = state + row * parts.count + seen.lowerBound - parts.lowerBound
            joints += [Int32(first + row), Int32(start), Int32(seen.count)]
        }
        stateCount += sequence.rows.count * parts.count
    }

    /// The parts that rows at these positions see.
    private func parts(from first: Int, to last: Int) -> Range<Int> {
        let size = AttentionPlan.partPositions
        return shape.reach.firstKey(for: first) / size..<last / size + 1
    }
}
