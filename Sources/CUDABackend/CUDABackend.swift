import CKernels
public import CUDARuntime
public import Foundation
import Synchronization
public import Tensors

/// The backend for NVIDIA's GPUs. Activations are float32 in the device's memory, products take bfloat16 or float16, as
/// the weights are, and add up in float32.
///
/// All work is enqueued to one stream by one thread at a time. After an error of the device nothing that was computed can
/// be trusted, and the driver answers every call with the same error: the first becomes the backend's `failure`, and from
/// then on nothing is enqueued.
public final class CUDABackend: Backend {
    public let name: String
    public let device: Device
    public let stream: DeviceStream
    public let products: ProductKernels
    let productShapes: [GEMMShape]
    /// Nil where our own kernels compute all products.
    let library: LibraryProducts?
    let kernels: KernelLibrary
    let arena: DeviceArena
    let staging: StagingMemory
    /// Nil when steps are not recorded.
    private let recorder: StepRecorder?
    /// Frequencies that rotations with fixed ones have, on the device.
    let frequencies = Mutex<[(rotation: Rotation, values: DeviceBuffer)]>([])
    /// The element that packed copies of activations have: that of the weights, as soon as there are some.
    private let element = Mutex<ProductElement?>(nil)
    private let firstError = Mutex<CUDAError?>(nil)
    let weightBytes = Atomic<Int>(0)
    /// Whether there is a first error; asked before each call.
    private let isLost = Atomic<Bool>(false)

    /// Takes device `index` of what `finder` finds. `activationBytes` of memory are taken for activations at once;
    /// `products` are by default those that `LIGHTLLM_CUDA_PRODUCTS` names, or our fastest that the device has. Steps within
    /// the limits of `graphs` are replayed as graphs, none if it is nil.
    public convenience init(
        index: Int = 0, finder: LibraryFinder = LibraryFinder(), activationBytes: Int = 256 << 20,
        products: ProductKernels? = nil, graphs: GraphLimits? = GraphLimits()
    ) throws(CUDAError) {
        let device = try Device(try Driver(finder), index: index)
        let compiler: any KernelCompiler
        if let folder = ProcessInfo.processInfo.environment["LIGHTLLM_CUDA_KERNELS"] {
            compiler = ExportedKernels(
                folder: URL(fileURLWithPath: folder), architecture: device.architecture)
        } else {
            compiler = CachingCompiler(
                try RuntimeCompiler(
                    architecture: device.architecture, driverVersion: device.driver.version, finder))
        }
        var products = products
        if products == nil { products = try ProductKernels.ofEnvironment() }
        try self.init(
            device, compiler, activationBytes: activationBytes, products: products, graphs: graphs,
            choices: CachingCompiler.standardFolder,
            library: { stream throws(CUDAError) in try CublasLt(stream, finder) })
    }

    /// The modules that devices of an architecture take: source and definitions of each.
    public static func kernelModules(for architecture: String) -> [[String]] {
        KernelLibrary.exports(architecture).map { [$0.source] + $0.definitions }
    }

    /// `note` is told when graphs cannot be made, and are done without. `library` is opened where its products are wanted;
    /// which of them are chosen is kept in the folder `choices`, if there is one.
    public init(
        _ device: Device, _ compiler: any KernelCompiler, activationBytes: Int = 256 << 20,
        products: ProductKernels? = nil, graphs: GraphLimits? = GraphLimits(),
        note: @escaping @Sendable (String) -> Void = writeNote, choices: URL? = nil,
        library: (DeviceStream) throws(CUDAError) -> CublasLt = { stream throws(CUDAError) in
            try CublasLt(stream)
        }
    ) throws(CUDAError) {
        guard device.capability.major >= 8 else {
            throw .noDevice("\(device.name) is \(device.architecture); sm_80 or later is needed")
        }
        self.device = device
        stream = try DeviceStream(device)
        let tiles = products?.tiles(on: device) ?? TileProducts(on: device)
        self.products = products ?? (tiles == .groups ? .groups : .warps)
        productShapes = GEMMShape.all(tiles, on: device)
        kernels = try KernelLibrary(device, compiler, tiles)
        if products == .library {
            let library = try library(stream)
            self.library = LibraryProducts(
                library,
                choices.map { ProductChoices(folder: $0, device, libraryVersion: library.version) })
        } else {
            self.library = nil
        }
        arena = try DeviceArena(device, bytes: activationBytes)
        staging = try StagingMemory(stream)
        let stream = stream
        recorder = try graphs.map { limits throws(CUDAError) in try StepRecorder(stream, limits, note) }
        name = "cuda (\(device.name), \(device.architecture))"
    }

    public func makeMatrix(rows: Int, columns: Int) -> Matrix {
        Matrix(rows: rows, columns: columns, backend: self, buffer: buffer(bytes: 4 * rows * columns))
    }

    public func makeVector(_ parts: [HostWeight]) -> Matrix {
        var values: [Float] = []
        for part in parts { values += part.floats(rows: 0..<part.outputs) }
        let y = makeMatrix(rows: 1, columns: values.count)
        attempt { () throws(CUDAError) in try send(values, to: y.start) }
        return y
    }

    public func read(_ x: Matrix, row: Int, into host: inout [Float]) {
        host.removeAll(keepingCapacity: true)
        let bytes = attempt { () throws(CUDAError) in
            try startDirectWork()
            return try staging.receive([(x.start + 4 * row * x.rowStride, 4 * x.columns)])
        }
        guard let bytes else { return host.append(contentsOf: repeatElement(0, count: x.columns)) }
        host.append(contentsOf: bytes.bindMemory(to: Float.self))
    }

    public func perform(_ pass: ForwardPass, _ operations: () -> Matrix) -> Matrix {
        guard let recorder, !recorder.isRecording else { return operations() }
        attempt { () throws(CUDAError) in try recorder.begin(pass) }
        defer { recorder.discard() }
        let result = operations()
        attempt { () throws(CUDAError) in try recorder.end() }
        return result
    }

    public var worksBehind: Bool { true }

    /// What became of the launches of recorded steps.
    public var graphCounts: GraphCounts { recorder?.counts ?? GraphCounts() }

    public var freeMemory: Int? { attempt { () throws(CUDAError) in try device.memory().free } ?? 0 }

    public var failure: BackendFailure? {
        firstError.withLock { $0.map { BackendFailure($0.description) } }
    }

    /// The result of `body`; nil if the device fails, or has failed before.
    @discardableResult
    func attempt<Result>(_ body: () throws(CUDAError) -> Result) -> Result? {
        guard !isLost.load(ordering: .acquiring) else { return nil }
        do {
            return try body()
        } catch {
            firstError.withLock { $0 = $0 ?? error }
            isLost.store(true, ordering: .releasing)
            return nil
        }
    }
}

extension CUDABackend {
    /// Memory of undefined content; none if the device has failed, when nobody writes to it either. Where the device has no
    /// more, regions that nobody uses make room.
    func buffer(bytes: Int) -> DeviceBuffer {
        let buffer = attempt { () throws(CUDAError) in
            do throws(CUDAError) {
                return try arena.allocate(bytes: bytes)
            } catch {
                guard error.isOutOfMemory else { throw error }
                try startDirectWork()
                arena.releaseIdleRegions()
                return try arena.allocate(bytes: bytes)
            }
        }
        return buffer ?? arena.placeholder
    }

    /// A copy of an array on the device, for the step that runs and no longer.
    func upload<Element: BitwiseCopyable>(_ array: [Element]) -> DeviceBuffer {
        if let place = array.withUnsafeBytes({ recorder?.place($0) }) { return place }
        return keep(array)
    }

    /// A copy of an array on the device.
    func keep<Element: BitwiseCopyable>(_ array: [Element]) -> DeviceBuffer {
        let copy = buffer(bytes: array.count * MemoryLayout<Element>.stride)
        attempt { () throws(CUDAError) in try send(array, to: copy.address) }
        return copy
    }

    /// Makes the stream ready for work that is not recorded: what is goes first.
    func startDirectWork() throws(CUDAError) {
        try device.makeCurrent()
        try recorder?.flush()
    }

    func send<Element: BitwiseCopyable>(_ array: [Element], to address: DeviceAddress) throws(CUDAError) {
        try startDirectWork()
        let result = array.withUnsafeBytes { bytes in
            Result { () throws(CUDAError) in try staging.send(bytes, to: address) }
        }
        try result.get()
    }

    func launch(
        _ kernel: String, _ grid: Extent, _ block: Extent, shared: Int = 0, _ arguments: [KernelArgument]
    ) {
        launch(kernels[kernel], grid, block, shared: shared, arguments)
    }

    func launch(
        _ kernel: Kernel, _ grid: Extent, _ block: Extent, shared: Int = 0, _ arguments: [KernelArgument]
    ) {
        guard grid.x > 0, grid.y > 0, grid.z > 0 else { return }
        attempt { () throws(CUDAError) in
            if let recorder, recorder.isRecording {
                return try recorder.append(kernel, grid, block, shared: shared, arguments)
            }
            try device.makeCurrent()
            try kernel.launch(grid, block, shared: shared, arguments, on: stream)
        }
    }

    /// What products of the model's weights take, which operations write beside their results.
    var packedElement: ProductElement? { element.withLock { $0 } }

    func noteWeight(of kind: ProductElement) {
        guard kind != .float32 else { return }
        element.withLock { $0 = $0 ?? kind }
    }

    /// Where `y` is written; what was packed of it before no longer holds.
    func target(_ y: Matrix) -> DeviceAddress {
        (y.buffer as? DeviceBuffer)?.packed = nil
        return y.start
    }

    /// Room for a packed copy of `y`, which the caller writes; nil when nobody would take it.
    func packedCopy(of y: Matrix) -> PackedRows? {
        guard let element = packedElement, y.offset == 0, y.rowStride == y.columns,
            let buffer = y.buffer as? DeviceBuffer
        else { return nil }
        let rows = PackedRows(
            buffer: self.buffer(bytes: 2 * y.rows * element.padded(y.columns)), element: element,
            rows: y.rows, columns: y.columns)
        buffer.packed = rows
        return rows
    }
}

/// Writes a line to the standard error.
@Sendable public func writeNote(_ text: String) {
    FileHandle.standardError.write(Data("note: \(text)\n".utf8))
}

extension PackedRows {
    var stride: Int { element.padded(columns) }
}

/// The arguments of kernels that write a packed copy: where, its stride, its type.
func packedArguments(_ rows: PackedRows?) -> [KernelArgument] {
    [.address(rows?.buffer.address), .long(rows?.stride ?? 0), .int(rows?.element.code ?? 0)]
}

extension Matrix {
    /// Where its first element is.
    var start: DeviceAddress { buffer.address + 4 * offset }
}

extension HostWeight {
    /// The values of some rows.
    func floats(rows: Range<Int>) -> [Float] {
        let kernels = llm_kernels_best().pointee
        let rowBytes = outputs > 0 ? bytes.count / outputs : 0
        return [Float](unsafeUninitializedCapacity: rows.count * inputs) { values, count in
            // Unsafe: every iteration writes its own row.
            nonisolated(unsafe) let target = values
            let start = bytes.start
            nonisolated(unsafe) let source = start
            if let base = target.baseAddress {
                nonisolated(unsafe) let base = base
                DispatchQueue.concurrentPerform(iterations: rows.count) { index in
                    kernels.dequantize_row(
                        encoding.kernel, source + (rows.lowerBound + index) * rowBytes, inputs,
                        base + index * inputs)
                }
            }
            count = rows.count * inputs
        }
    }
}

extension Encoding {
    fileprivate var kernel: llm_encoding {
        switch self {
        case .float32: LLM_F32
        case .float16: LLM_F16
        case .bfloat16: LLM_BF16
        case .q4_0: LLM_Q4_0
        case .q4_1: LLM_Q4_1
        case .q5_0: LLM_Q5_0
        case .q5_1: LLM_Q5_1
        case .q8_0: LLM_Q8_0
        case .q2_K: LLM_Q2_K
        case .q3_K: LLM_Q3_K
        case .q4_K: LLM_Q4_K
        case .q5_K: LLM_Q5_K
        case .q6_K: LLM_Q6_K
        }
    }
}
