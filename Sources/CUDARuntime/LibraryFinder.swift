import CCUDA
public import Foundation

/// Where NVIDIA's libraries may be: a folder that the environment names, the loader's own search, folders of the
/// toolkit and the driver, and those that Python's packages (`nvidia-*`) have beside the `python3` on the path.
public struct LibraryFinder: Sendable {
    private let environment: [String: String]

    public init(environment: [String: String] = ProcessInfo.processInfo.environment) {
        self.environment = environment
    }

    /// Those that the environment names, which come before all others.
    private var named: [String] {
        (environment["LIGHTLLM_CUDA_LIB"] ?? "").split(separator: ":").map(String.init)
    }

    /// The folders in the order in which they are searched, without those that do not exist.
    func folders() -> [String] {
        var folders = named
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

    /// Versions of the toolkit's libraries that serve, the newest first: none newer than the driver's, if that is known.
    static func versions(forDriver version: Int?) -> [Int] {
        let newest = version.map { $0 / 1000 } ?? .max
        return [13, 12].filter { $0 <= newest }
    }

    /// Opens the first library of that name that has all entry points which `resolve` wants, newest version first: of
    /// the folders that the environment names, where the loader looks, of the others.
    func load<Table>(
        _ name: String, versions: [Int],
        _ resolve: (UnsafeMutableRawPointer, UnsafeMutablePointer<Table>) -> UnsafeMutablePointer<CChar>?
    ) throws(CUDAError) -> (table: Table, path: String) {
        let sonames = versions.map { "\(name).\($0)" }
        func files(_ folders: [String]) -> [String] {
            folders.flatMap { folder in sonames.flatMap { Self.matches("\(folder)/\($0)") } }
        }
        // Unsafe: the table has no empty value; it is read only once it is full.
        let table = UnsafeMutablePointer<Table>.allocate(capacity: 1)
        defer { table.deallocate() }
        var (attempts, incomplete) = ([String](), nil as CUDAError?)
        for path in files(named) + sonames + files(folders()) {
            var handle: UnsafeMutableRawPointer?
            if let message = ccuda_open(path, &handle) {
                attempts.append("\(path): \(String(cString: message))")
                free(message)
            } else if let handle {
                guard let message = resolve(handle, table) else {
                    // Every table begins with a function; the loader knows which file it came from.
                    let first = UnsafeRawPointer(table).load(as: UnsafeRawPointer?.self)
                    return (table.pointee, ccuda_symbol_file(first).map { String(cString: $0) } ?? path)
                }
                // Another one may be newer.
                let detail = String(cString: message)
                incomplete = incomplete ?? .symbolMissing(library: name, path: path, detail: detail)
                free(message)
            }
        }
        throw incomplete ?? .libraryNotFound(sonames.joined(separator: " or "), attempts: attempts)
    }

    static func matches(_ pattern: String) -> [String] {
        var found = glob_t()
        defer { globfree(&found) }
        guard glob(pattern, 0, nil, &found) == 0 else { return [] }
        return (0..<Int(found.gl_pathc)).compactMap { found.gl_pathv[$0].map { String(cString: $0) } }
    }
}
