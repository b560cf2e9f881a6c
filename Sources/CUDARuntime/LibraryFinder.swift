import CCUDA
public import Foundation

/// Where NVIDIA's libraries may be: a folder that the environment names, the loader's own search, folders of the
/// toolkit and the driver, and those that Python's packages (`nvidia-*`) have beside the `python3` on the path.
public struct LibraryFinder: Sendable {
    private let environment: [String: String]

    public init(environment: [String: String] = ProcessInfo.processInfo.environment) {
        self.environment = environment
    }

    /// The folders in the order in which they are searched, without those that do not exist.
    func folders() -> [String] {
        var folders = (environment["LIGHTLLM_CUDA_LIB"] ?? "").split(separator: ":").map(String.init)
        for key in ["CUDA_HOME", "CUDA_PATH"] {
            guard let home = environment[key] else { continue }
            folders += ["lib64", "lib", "targets/x86_64-linux/lib"].map { "\(home)/\($0)" }
        }
        folders.append("/usr/local/cuda/lib64")
        folders += Self.matches("/usr/local/cuda-*/lib64").reversed()
        folders += [
            "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/local/nvidia/lib64",
            "/usr/local/nvidia/lib", "/usr/lib/wsl/lib",
        ]
        // The python3 of a virtual environment is a link: its packages lie beside the link, not its target.
        var prefixes = environment["VIRTUAL_ENV"].map { [$0] } ?? []
        prefixes += (environment["PATH"] ?? "").split(separator: ":")
            .filter { FileManager.default.isExecutableFile(atPath: "\($0)/python3") }.map { "\($0)/.." }
        for prefix in prefixes {
            for packages in ["site-packages", "dist-packages"] {
                folders += Self.matches("\(prefix)/lib*/python3*/\(packages)/nvidia/*/lib")
            }
        }
        var seen: Set<String> = []
        return folders.filter { seen.insert($0).inserted && FileManager.default.fileExists(atPath: $0) }
    }

    /// Opens the first library of that name that the loader takes, newest version first.
    func open(_ name: String, versions: [Int]) throws(CUDAError) -> UnsafeMutableRawPointer {
        let sonames = versions.map { "\(name).\($0)" }
        var candidates = sonames
        for folder in folders() { candidates += sonames.flatMap { Self.matches("\(folder)/\($0)") } }
        var attempts: [String] = []
        for path in candidates {
            var handle: UnsafeMutableRawPointer?
            if let message = ccuda_open(path, &handle) {
                attempts.append("\(path): \(String(cString: message))")
                free(message)
            } else if let handle {
                return handle
            }
        }
        throw .libraryNotFound(name, attempts: attempts)
    }

    /// Opens the library and looks up all entry points that `resolve` wants.
    func load<Table>(
        _ name: String, versions: [Int],
        _ resolve: (UnsafeMutableRawPointer, UnsafeMutablePointer<Table>) -> UnsafeMutablePointer<CChar>?
    ) throws(CUDAError) -> (table: Table, path: String) {
        let handle = try open(name, versions: versions)
        // Unsafe: the table has no empty value; it is read only once it is full.
        let table = UnsafeMutablePointer<Table>.allocate(capacity: 1)
        defer { table.deallocate() }
        if let message = resolve(handle, table) {
            defer { free(message) }
            throw .symbolMissing(library: name, path: name, detail: String(cString: message))
        }
        // Every table begins with a function; the loader knows which file it came from.
        let first = UnsafeRawPointer(table).load(as: UnsafeRawPointer?.self)
        return (table.pointee, ccuda_symbol_file(first).map { String(cString: $0) } ?? name)
    }

    static func matches(_ pattern: String) -> [String] {
        var found = glob_t()
        defer { globfree(&found) }
        guard glob(pattern, 0, nil, &found) == 0 else { return [] }
        return (0..<Int(found.gl_pathc)).compactMap { found.gl_pathv[$0].map { String(cString: $0) } }
    }
}
