import CCUDA

/// NVIDIA's matrix products, `y = x Wᵀ` of bfloat16 rows with float32 results.
public final class CublasLt: @unchecked Sendable {
    // Unsafe: handles of the library, used by one thread at a time.
    private let api: ccuda_cublaslt_api
    private let stream: DeviceStream
    private let handle: cublasLtHandle_t?
    private let workspace: DeviceAddress
    private static let workspaceBytes = 32 << 20

    // Constants of its interface: types of numbers, of sums, and attributes.
    private enum Constant {
        static let float32: Int32 = 0
        static let bfloat16: Int32 = 14
        static let computeFloat32: Int32 = 68
        static let transposeA: Int32 = 3
        static let transposed: Int32 = 1
        static let workspaceLimit: Int32 = 1
    }

    public init(_ stream: DeviceStream, _ finder: LibraryFinder = LibraryFinder()) throws(CUDAError) {
        (api, _) = try finder.load("libcublasLt.so", versions: [13, 12], ccuda_resolve_cublaslt)
        self.stream = stream
        workspace = try stream.device.allocate(bytes: Self.workspaceBytes)
        var handle: cublasLtHandle_t?
        let status = api.create(&handle)
        self.handle = handle
        guard status == 0 else { throw .blas(call: "cublasLtCreate", code: status) }
    }

    deinit {
        _ = api.destroy(handle)
        stream.device.free(workspace)
    }

    /// Milliseconds of one product with the algorithm that the library proposes first. `weights` take turns.
    public func time(
        x: DeviceAddress, rows: Int, weights: [DeviceAddress], inputs: Int, outputs: Int,
        into y: DeviceAddress,
        turns: Int
    ) throws -> Double {
        var (operation, preference): (cublasLtMatmulDesc_t?, cublasLtMatmulPreference_t?)
        try check(
            api.matmulDescCreate(&operation, Constant.computeFloat32, Constant.float32),
            "cublasLtMatmulDescCreate")
        defer { _ = api.matmulDescDestroy(operation) }
        // Columns come first there: what is row by row for us is transposed.
        var transposed = Constant.transposed
        try check(
            api.matmulDescSet(operation, Constant.transposeA, &transposed, 4),
            "cublasLtMatmulDescSetAttribute")
        let (w, input, output) = (
            try layout(Constant.bfloat16, inputs, outputs), try layout(Constant.bfloat16, inputs, rows),
            try layout(Constant.float32, outputs, rows)
        )
        defer { for layout in [w, input, output] { _ = api.layoutDestroy(layout) } }
        try check(api.prefCreate(&preference), "cublasLtMatmulPreferenceCreate")
        defer { _ = api.prefDestroy(preference) }
        var limit = Self.workspaceBytes
        try check(
            api.prefSet(preference, Constant.workspaceLimit, &limit, 8),
            "cublasLtMatmulPreferenceSetAttribute")
        var (found, count) = (cublasLtMatmulHeuristicResult_t(), Int32(0))
        try check(
            api.heuristic(handle, operation, w, input, output, output, preference, 1, &found, &count),
            "cublasLtMatmulAlgoGetHeuristic")
        guard count > 0 else { throw CUDAError.blas(call: "cublasLtMatmulAlgoGetHeuristic", code: 15) }
        var (alpha, beta) = (Float(1), Float(0))
        func turn(_ count: Int) throws {
            for index in 0..<count {
                try check(
                    api.matmul(
                        handle, operation, &alpha, weights[index % weights.count], w, x, input, &beta, y,
                        output, y,
                        output, &found.algo, workspace, Self.workspaceBytes, stream.handle), "cublasLtMatmul")
            }
        }
        try turn(weights.count)
        return try stream.time { try turn(turns) } / Double(turns)
    }

    private func layout(_ type: Int32, _ rows: Int, _ columns: Int) throws(CUDAError)
        -> cublasLtMatrixLayout_t?
    {
        var layout: cublasLtMatrixLayout_t?
        try check(
            api.layoutCreate(&layout, type, UInt64(rows), UInt64(columns), Int64(rows)),
            "cublasLtMatrixLayoutCreate")
        return layout
    }

    private func check(_ status: cublasStatus_t, _ call: String) throws(CUDAError) {
        guard status == 0 else { throw .blas(call: call, code: status) }
    }
}
