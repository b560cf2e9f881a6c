import CCUDA

/// Launches of kernels in their order, not yet done. Its memory is used again when it is emptied.
public struct LaunchList: Sendable {
    struct Entry: Sendable {
        let kernel: Kernel
        let grid: Extent
        let block: Extent
        let shared: Int
        /// Of all arguments.
        let arguments: Range<Int>
    }

    private(set) var entries: [Entry] = []
    /// Those of all launches, back to back.
    private var arguments: [KernelArgument] = []

    public init() {}

    public var count: Int { entries.count }
    public var isEmpty: Bool { entries.isEmpty }

    /// `shared` is in bytes.
    public mutating func append(
        _ kernel: Kernel, _ grid: Extent, _ block: Extent, shared: Int, _ arguments: [KernelArgument]
    ) {
        let first = self.arguments.count
        self.arguments += arguments
        entries.append(
            Entry(
                kernel: kernel, grid: grid, block: block, shared: shared,
                arguments: first..<self.arguments.count))
    }

    public mutating func removeAll() {
        entries.removeAll(keepingCapacity: true)
        arguments.removeAll(keepingCapacity: true)
    }

    /// Enqueues them one by one.
    public func launch(on stream: DeviceStream) throws(CUDAError) {
        for entry in entries {
            try entry.kernel.launch(
                entry.grid, entry.block, shared: entry.shared, arguments[entry.arguments], on: stream)
        }
    }

    /// The same for all lists of the same kernels in the same order.
    public var kernelHash: Int {
        var hasher = Hasher()
        for entry in entries { hasher.combine(entry.kernel.handle) }
        return hasher.finalize()
    }

    /// Whether both are of the same kernels in the same order.
    public func hasKernels(of other: LaunchList) -> Bool {
        count == other.count
            && entries.indices.allSatisfy {
                entries[$0].kernel.handle == other.entries[$0].kernel.handle
            }
    }

    /// Whether launch `index` is the same in both, which are of the same kernels.
    func isSame(_ index: Int, as other: LaunchList) -> Bool {
        let (a, b) = (entries[index], other.entries[index])
        return a.grid == b.grid && a.block == b.block && a.shared == b.shared
            && arguments[a.arguments] == other.arguments[b.arguments]
    }

    /// Launch `index` as a graph takes it.
    fileprivate func withNode<Result>(
        _ index: Int, _ body: (UnsafePointer<CUDA_KERNEL_NODE_PARAMS>) -> Result
    ) -> Result {
        let entry = entries[index]
        return arguments[entry.arguments].withPointers { pointers in
            var node = CUDA_KERNEL_NODE_PARAMS()
            node.func = entry.kernel.handle
            (node.gridDimX, node.gridDimY, node.gridDimZ) = (
                UInt32(entry.grid.x), UInt32(entry.grid.y), UInt32(entry.grid.z)
            )
            (node.blockDimX, node.blockDimY, node.blockDimZ) = (
                UInt32(entry.block.x), UInt32(entry.block.y), UInt32(entry.block.z)
            )
            node.sharedMemBytes = UInt32(entry.shared)
            node.kernelParams = pointers
            return body(&node)
        }
    }
}

/// Launches that are enqueued with one call, each after the one before.
public final class LaunchGraph: @unchecked Sendable {
    // Unsafe: handles of the driver, used from one thread at a time.
    private let stream: DeviceStream
    /// What `executable` was made of; its nodes name what is changed there.
    private let graph: CUgraph?
    private let nodes: [CUgraphNode?]
    private let executable: CUgraphExec?
    /// As the nodes have them now.
    public private(set) var launches: LaunchList

    public init(_ launches: LaunchList, on stream: DeviceStream) throws(CUDAError) {
        let driver = stream.device.driver
        var (graph, executable): (CUgraph?, CUgraphExec?) = (nil, nil)
        try driver.check(driver.api.graphCreate(&graph, 0), "cuGraphCreate")
        do throws(CUDAError) {
            nodes = try Self.addNodes(of: launches, to: graph, driver)
            try driver.check(driver.api.graphInstantiate(&executable, graph, 0), "cuGraphInstantiate")
        } catch {
            _ = driver.api.graphDestroy(graph)
            throw error
        }
        (self.launches, self.stream, self.graph, self.executable) = (launches, stream, graph, executable)
    }

    deinit {
        let api = stream.device.driver.api
        _ = api.graphExecDestroy(executable)
        _ = api.graphDestroy(graph)
    }

    private static func addNodes(
        of launches: LaunchList, to graph: CUgraph?, _ driver: Driver
    ) throws(CUDAError) -> [CUgraphNode?] {
        var nodes: [CUgraphNode?] = []
        nodes.reserveCapacity(launches.count)
        for index in 0..<launches.count {
            var (node, last) = (CUgraphNode?.none, nodes.last ?? nil)
            let status = launches.withNode(index) {
                driver.api.graphAddKernelNode(&node, graph, &last, nodes.isEmpty ? 0 : 1, $0)
            }
            try driver.check(status, "cuGraphAddKernelNode")
            nodes.append(node)
        }
        return nodes
    }

    /// Makes them `launches`, which are of the same kernels, and returns how many had to be changed. What was
    /// enqueued before stays as it is. After an error the graph is of no use.
    public func update(to launches: LaunchList) throws(CUDAError) -> Int {
        let driver = stream.device.driver
        var changed = 0
        for index in nodes.indices where !launches.isSame(index, as: self.launches) {
            let status = launches.withNode(index) {
                driver.api.graphExecKernelNodeSetParams(executable, nodes[index], $0)
            }
            try driver.check(status, "cuGraphExecKernelNodeSetParams")
            changed += 1
        }
        if changed > 0 { self.launches = launches }
        return changed
    }

    public func launch() throws(CUDAError) {
        let driver = stream.device.driver
        try stream.watch?.noteWork()
        try driver.check(driver.api.graphLaunch(executable, stream.handle), "cuGraphLaunch")
    }
}
