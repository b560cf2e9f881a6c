public import CCUDA

/// NVIDIA's matrix products, `y = x Wᵀ` of 16-bit rows with float32 results.
public final class CublasLt: @unchecked Sendable {
    // Unsafe: handles of the library, used by one thread at a time.
    private let api: ccuda_cublaslt_api
    private let stream: DeviceStream
    private let handle: cublasLtHandle_t?
    private let operation: cublasLtMatmulDesc_t?
    private let preference: cublasLtMatmulPreference_t?
    private let workspace: DeviceAddress
    /// Bytes of memory that algorithms share, taken at once.
    private static let workspaceBytes = 32 << 20

    // Constants of its interface: types of numbers, of sums, and attributes.
    private enum Constant {
        static let float32: Int32 = 0
        static let float16: Int32 = 2
        static let bfloat16: Int32 = 14
        static let computeFloat32: Int32 = 68
        static let transposeA: Int32 = 3
        static let transposed: Int32 = 1
        static let workspaceLimit: Int32 = 1
        /// Ways to add up the parts of a sum that several blocks computed.
        static let reductions: Int32 = 3
        /// What addresses of the four matrices are multiples of.
        static let alignments: [Int32] = [5, 6, 7, 8]
        static let notSupported: Int32 = 15
    }

    /// In which order the parts of a sum may be added that several blocks compute.
    public enum Order: Sendable {
        /// As if there were none: one block computes a sum.
        case one
        /// In any, also such as depend on how many there are.
        case any
    }

    public enum Element: Sendable {
        case bfloat16, float16

        fileprivate var type: Int32 { self == .bfloat16 ? Constant.bfloat16 : Constant.float16 }
    }

    /// Sizes of a product. Rows of both operands are `inputs` numbers apart, results `stride`.
    public struct Size: Sendable {
        public var rows: Int
        public var inputs: Int
        public var outputs: Int
        public var stride: Int
        public var element: Element

        public init(rows: Int, inputs: Int, outputs: Int, stride: Int, element: Element) {
            (self.rows, self.inputs, self.outputs) = (rows, inputs, outputs)
            (self.stride, self.element) = (stride, element)
        }
    }

    /// One of the library's ways to compute a product.
    public struct Algorithm: @unchecked Sendable, Equatable {
        // Unsafe: plain words that only the library reads.
        fileprivate let value: cublasLtMatmulAlgo_t

        public static func == (a: Algorithm, b: Algorithm) -> Bool { a.words == b.words }

        /// The one that `words` tells; nil where they are not as many as the library has.
        public init?(words: [UInt64]) {
            var value = cublasLtMatmulAlgo_t()
            guard words.count * 8 == MemoryLayout.size(ofValue: value) else { return nil }
            withUnsafeMutableBytes(of: &value) { $0.copyBytes(from: words.withUnsafeBytes { Array($0) }) }
            self.value = value
        }

        fileprivate init(value: cublasLtMatmulAlgo_t) { self.value = value }

        /// What the library tells it by.
        public var words: [UInt64] {
            withUnsafeBytes(of: value) { Array($0.bindMemory(to: UInt64.self)) }
        }
    }

    public convenience init(
        _ stream: DeviceStream, _ finder: LibraryFinder = LibraryFinder(), order: Order = .one
    ) throws(CUDAError) {
        let (api, _) = try finder.load(
            "libcublasLt.so", versions: LibraryFinder.versions(forDriver: stream.device.driver.version),
            ccuda_resolve_cublaslt)
        try self.init(table: api, stream, order: order)
    }

    /// A library that is already there, as that of tests.
    public init(
        table api: ccuda_cublaslt_api, _ stream: DeviceStream, order: Order = .one
    ) throws(CUDAError) {
        (self.api, self.stream) = (api, stream)
        workspace = try stream.device.allocate(bytes: Self.workspaceBytes)
        var (handle, operation): (cublasLtHandle_t?, cublasLtMatmulDesc_t?)
        var preference: cublasLtMatmulPreference_t?
        var status = api.create(&handle)
        if status == 0 {
            status = api.matmulDescCreate(&operation, Constant.computeFloat32, Constant.float32)
        }
        if status == 0 { status = api.prefCreate(&preference) }
        (self.handle, self.operation, self.preference) = (handle, operation, preference)
        guard status == 0 else { throw .blas(call: "cublasLtCreate", code: status) }
        // Columns come first there: what is row by row for us is transposed.
        var transposed = Constant.transposed
        try check(
            api.matmulDescSet(operation, Constant.transposeA, &transposed, 4),
            "cublasLtMatmulDescSetAttribute")
        var limit = Self.workspaceBytes
        try check(
            api.prefSet(preference, Constant.workspaceLimit, &limit, 8),
            "cublasLtMatmulPreferenceSetAttribute")
        if order == .one { try prefer(Constant.reductions, 0) }
        for alignment in Constant.alignments { try prefer(alignment, 16) }
    }

    public var version: Int { api.getVersion() }

    deinit {
        if let preference { _ = api.prefDestroy(preference) }
        if let operation { _ = api.matmulDescDestroy(operation) }
        if let handle { _ = api.destroy(handle) }
        stream.device.free(workspace)
    }

    private func prefer(_ attribute: Int32, _ value: UInt32) throws(CUDAError) {
        var value = value
        try check(
            api.prefSet(preference, attribute, &value, 4), "cublasLtMatmulPreferenceSetAttribute")
    }

    /// The algorithms that the library proposes for a size, the likeliest to be fast first; none where it has none.
    public func candidates(_ size: Size, most: Int) throws(CUDAError) -> [Algorithm] {
        let layouts = try Layouts(size, api)
        var found = [cublasLtMatmulHeuristicResult_t](
            repeating: cublasLtMatmulHeuristicResult_t(), count: most)
        var count: Int32 = 0
        let status = api.heuristic(
            handle, operation, layouts.w, layouts.x, layouts.y, layouts.y, preference, Int32(most), &found,
            &count)
        if status == Constant.notSupported { return [] }
        try check(status, "cublasLtMatmulAlgoGetHeuristic")
        return found.prefix(Int(count)).filter { $0.state == 0 }.map { Algorithm(value: $0.algo) }
    }

    /// Enqueues a product. False where the algorithm does not take the size: then nothing was enqueued.
    public func multiply(
        x: DeviceAddress, weight: DeviceAddress, into y: DeviceAddress, _ size: Size, _ algorithm: Algorithm
    ) throws(CUDAError) -> Bool {
        let layouts = try Layouts(size, api)
        try stream.watch?.noteWork()
        var (alpha, beta, algorithm) = (Float(1), Float(0), algorithm.value)
        let status = api.matmul(
            handle, operation, &alpha, weight, layouts.w, x, layouts.x, &beta, y, layouts.y, y, layouts.y,
            &algorithm, workspace, Self.workspaceBytes, stream.handle)
        if status == Constant.notSupported { return false }
        try check(status, "cublasLtMatmul")
        return true
    }

    /// Milliseconds of one product with the fastest of the algorithms that the library proposes, at most `most`; nil where
    /// it has none. `weights` take turns.
    public func time(
        x: DeviceAddress, weights: [DeviceAddress], into y: DeviceAddress, _ size: Size, turns: Int, most: Int
    ) throws -> Double? {
        try candidates(size, most: most).compactMap { algorithm in
            func turn(_ count: Int) throws -> Bool {
                for index in 0..<count {
                    let weight = weights[index % weights.count]
                    guard try multiply(x: x, weight: weight, into: y, size, algorithm) else { return false }
                }
                return true
            }
            guard try turn(weights.count) else { return nil }
            return try stream.time { _ = try turn(turns) } / Double(turns)
        }.min()
    }

    /// Descriptions of the three matrices of a product.
    private final class Layouts {
        private(set) var w, x, y: cublasLtMatrixLayout_t?
        private let api: ccuda_cublaslt_api

        init(_ size: Size, _ api: ccuda_cublaslt_api) throws(CUDAError) {
            self.api = api
            w = try make(size.element.type, size.inputs, size.outputs, size.inputs)
            x = try make(size.element.type, size.inputs, size.rows, size.inputs)
            y = try make(Constant.float32, size.outputs, size.rows, size.stride)
        }

        deinit { for layout in [w, x, y] where layout != nil { _ = api.layoutDestroy(layout) } }

        private func make(
            _ type: Int32, _ rows: Int, _ columns: Int, _ stride: Int
        ) throws(CUDAError) -> cublasLtMatrixLayout_t? {
            var layout: cublasLtMatrixLayout_t?
            let status = api.layoutCreate(&layout, type, UInt64(rows), UInt64(columns), Int64(stride))
            guard status == 0 else { throw .blas(call: "cublasLtMatrixLayoutCreate", code: status) }
            return layout
        }
    }

    private func check(_ status: cublasStatus_t, _ call: String) throws(CUDAError) {
        guard status == 0 else { throw .blas(call: call, code: status) }
    }
}
