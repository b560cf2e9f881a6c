import CUDARuntime
import Synchronization
import Tensors

/// Which steps are replayed as graphs, and how many graphs are kept.
public struct GraphLimits: Sendable, Equatable {
    /// The most rows of a step.
    public var rows = 256
    /// The most tokens of its longest sequence; nil for any number.
    public var length: Int?
    /// The most launches in all graphs together. Those that have not been used for the longest time make room.
    public var launches = 16_384

    public init() {}
}

/// What became of the launches of recorded steps.
public struct GraphCounts: Sendable, Equatable {
    /// Graphs that were made.
    public var made = 0
    /// Launches of graphs.
    public var replays = 0
    /// Launches within these graphs whose arguments or grids were changed before.
    public var changes = 0
    /// Launches on their own.
    public var single = 0

    public init() {}
}

/// Records the launches of steps in which every sequence generates a token, and has the device do them as graphs.
///
/// A graph is made of a run of launches: the first run of a step is short, so that the device soon has something to do,
/// and each is twice as long as the one before. Every step is recorded anew. When the kernels of a run are those of a
/// graph of as many rows, the launches that differ are changed in it and it is launched, so a replay does what launching
/// would do. What is seen for the first time is launched kernel by kernel. Nothing is padded.
final class StepRecorder: @unchecked Sendable {
    // Unsafe: used by the thread that runs the forward pass alone, but for the counts.

    /// What a graph is found by.
    private struct Key: Hashable {
        let rows: Int
        /// Of the run in its step.
        let index: Int
        let kernels: Int
    }

    private struct Kept {
        let graph: LaunchGraph
        var lastUse: Int
    }

    private let stream: DeviceStream
    private let limits: GraphLimits
    private let inputs: StepInputs
    private let note: @Sendable (String) -> Void
    private(set) var isRecording = false
    private var rows = 0
    private var index = 0
    private var run = LaunchList()
    /// Launches of the run.
    private var most = 0
    private var graphs: [Key: Kept] = [:]
    private var launches = 0
    private var uses = 0
    private var seen: Set<Key> = []
    private var isRefused = false
    private let counted = Mutex(GraphCounts())

    /// Launches of a step's first run, and of the shortest that is worth a graph.
    private static let (first, fewest) = (32, 8)
    private static let mostSeen = 1024

    init(
        _ stream: DeviceStream, _ limits: GraphLimits, _ note: @escaping @Sendable (String) -> Void
    ) throws(CUDAError) {
        (self.stream, self.limits, self.note) = (stream, limits, note)
        inputs = try StepInputs(stream)
    }

    var counts: GraphCounts { counted.withLock { $0 } }

    /// Starts to record, if the step is one that is recorded.
    func begin(_ pass: ForwardPass) throws(CUDAError) {
        guard !isRefused, pass.images.isEmpty, pass.tokens.count <= limits.rows,
            pass.sequences.allSatisfy({ $0.rows.count == 1 }),
            limits.length.map({ length in pass.lengths.allSatisfy { $0 <= length } }) ?? true
        else { return }
        try stream.device.makeCurrent()
        isRecording = try inputs.begin()
        (rows, index, most) = (pass.tokens.count, 0, Self.first)
    }

    func append(
        _ kernel: Kernel, _ grid: Extent, _ block: Extent, shared: Int, _ arguments: [KernelArgument]
    ) throws(CUDAError) {
        run.append(kernel, grid, block, shared: shared, arguments)
        guard run.count == most else { return }
        try flush()
        most *= 2
    }

    /// A place for an array of the step; nil when there is none, or no step.
    func place(_ bytes: UnsafeRawBufferPointer) -> DeviceBuffer? { isRecording ? inputs.place(bytes) : nil }

    /// Enqueues what was recorded, before something that is not.
    func flush() throws(CUDAError) {
        guard isRecording else { return }
        try stream.device.makeCurrent()
        try inputs.copy()
        guard !run.isEmpty else { return }
        defer {
            run.removeAll()
            index += 1
        }
        if let graph = run.count < Self.fewest ? nil : try graph() {
            try graph.launch()
            counted.withLock { $0.replays += 1 }
        } else {
            try run.launch(on: stream)
            counted.withLock { $0.single += run.count }
        }
    }

    /// Enqueues the rest of the step.
    func end() throws(CUDAError) {
        guard isRecording else { return }
        try flush()
        try inputs.end()
    }

    /// Forgets what is left of a step.
    func discard() {
        run.removeAll()
        isRecording = false
    }

    /// A graph of the run; nil when it is better launched kernel by kernel.
    private func graph() throws(CUDAError) -> LaunchGraph? {
        guard !isRefused else { return nil }
        let key = Key(rows: rows, index: index, kernels: run.kernelHash)
        uses += 1
        do throws(CUDAError) {
            if let kept = graphs[key] {
                guard kept.graph.launches.hasKernels(of: run) else { return nil }
                graphs[key]?.lastUse = uses
                let changes = try kept.graph.update(to: run)
                counted.withLock { $0.changes += changes }
                return kept.graph
            }
            // Most of what does not come again costs only being recorded.
            guard !seen.insert(key).inserted else {
                if seen.count > Self.mostSeen { seen = [key] }
                return nil
            }
            return try make(key)
        } catch {
            guard !error.isLasting else { throw error }
            isRefused = true
            graphs.removeAll()
            note("no graphs are used from now on, and kernels are launched one by one: \(error)")
            return nil
        }
    }

    private func make(_ key: Key) throws(CUDAError) -> LaunchGraph? {
        guard run.count <= limits.launches else { return nil }
        while launches + run.count > limits.launches,
            let oldest = graphs.min(by: { $0.value.lastUse < $1.value.lastUse })
        {
            launches -= oldest.value.graph.launches.count
            graphs[oldest.key] = nil
        }
        let graph = try LaunchGraph(run, on: stream)
        graphs[key] = Kept(graph: graph, lastUse: uses)
        launches += run.count
        counted.withLock { $0.made += 1 }
        return graph
    }
}
