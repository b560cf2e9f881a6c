/// What can go wrong with a CUDA device. Each says what was tried and what came of it.
public enum CUDAError: Error, Sendable, CustomStringConvertible {
    /// A shared library could not be opened; every path that was tried, with the loader's reason.
    case libraryNotFound(String, attempts: [String])
    case symbolMissing(library: String, path: String, detail: String)
    case noDevice(String)
    case driver(call: String, code: Int32, text: String)
    case blas(call: String, code: Int32)
    case compilation(source: String, architecture: String, log: String)
    case unknownSource(String)
    case notExported(String, definitions: [String], path: String)
    case unknownKernel(String)
    case unknownProducts(String)

    /// Whether the driver answers every call with it from now on.
    public var isLasting: Bool {
        if case .driver(_, let code, _) = self { (700..<800).contains(code) } else { false }
    }

    /// Whether the device has no more memory to give.
    public var isOutOfMemory: Bool {
        if case .driver(_, 2, _) = self { true } else { false }
    }

    public var description: String {
        switch self {
        case .libraryNotFound(let library, let attempts):
            "CUDA: \(library) was not found; tried:\n" + attempts.map { "  \($0)" }.joined(separator: "\n")
        case .symbolMissing(let library, let path, let detail): "CUDA: \(library) at \(path): \(detail)"
        case .noDevice(let reason): "CUDA: no usable device: \(reason)"
        case .driver(let call, let code, let text): "CUDA: \(call) failed with \(code): \(text)"
        case .blas(let call, let code): "CUDA: \(call) failed with status \(code)"
        case .compilation(let source, let architecture, let log):
            "CUDA: \(source) does not compile for \(architecture):\n\(log)"
        case .notExported(let source, let definitions, let path):
            "CUDA: \(source) (\(definitions.joined(separator: " "))) was not exported: \(path) is missing"
        case .unknownSource(let name): "CUDA: there is no kernel source \(name)"
        case .unknownProducts(let name):
            "CUDA: LIGHTLLM_CUDA_PRODUCTS must be warps, groups or library, not \(name)"
        case .unknownKernel(let name): "CUDA: no module has a kernel \(name)"
        }
    }
}
