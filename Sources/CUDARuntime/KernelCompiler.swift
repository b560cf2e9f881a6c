import CCUDA
import CCUDAKernels
public import Foundation
import Hashing

/// Turns kernel sources into what a module is made of.
public protocol KernelCompiler: Sendable {
    /// `source` is the name of an embedded file; `definitions` are of the form `NAME=value`.
    func image(of source: String, definitions: [String]) throws(CUDAError) -> [UInt8]
}

/// The kernel sources that the binary holds, headers included.
public struct KernelSources: Sendable {
    public let texts: [String: String]

    public init() {
        var count = 0
        let sources = ccudakernels_sources(&count)
        texts = Dictionary(
            uniqueKeysWithValues: (0..<count).map {
                (String(cString: sources[$0].name), String(cString: sources[$0].text))
            })
    }

    func text(_ name: String) throws(CUDAError) -> String {
        guard let text = texts[name] else { throw .unknownSource(name) }
        return text
    }

    /// A name that says what went into an image: the source, the headers, and `options`.
    func imageName(
        _ source: String, _ architecture: String, _ options: [String]
    ) throws(CUDAError) -> String {
        let text = try text(source) + headers.map(\.text).joined() + options.joined(separator: " ")
        // Folders of images need not withstand those who write to them.
        return "\(source).\(architecture).\(String(fnv1a(text.utf8), radix: 16)).cubin"
    }

    /// Names and texts of the headers, sorted.
    var headers: [(name: String, text: String)] {
        texts.filter { $0.key.hasSuffix(".cuh") }.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    }
}

/// NVIDIA's compiler as a library. Needs neither a device nor a driver.
public final class RuntimeCompiler: KernelCompiler, Sendable {
    private let api: ccuda_nvrtc_api
    public let path: String
    public let version: (major: Int, minor: Int)
    public let architecture: String
    private let sources = KernelSources()

    /// `driverVersion` is of the driver that shall run what is compiled, which knows no image of a later toolkit; nil for any.
    public init(
        architecture: String, driverVersion: Int? = nil, _ finder: LibraryFinder = LibraryFinder()
    ) throws(CUDAError) {
        (api, path) = try finder.load(
            "libnvrtc.so", versions: LibraryFinder.versions(forDriver: driverVersion), ccuda_resolve_nvrtc)
        // The library opens another one by its name alone, which the loader only finds when it is already open.
        let folder = URL(fileURLWithPath: path).deletingLastPathComponent().path
        for builtins in LibraryFinder.matches("\(folder)/libnvrtc-builtins.so.*") {
            var handle: UnsafeMutableRawPointer?
            if let message = ccuda_open(builtins, &handle) { free(message) }
        }
        var (major, minor): (Int32, Int32) = (0, 0)
        _ = api.version(&major, &minor)
        (version, self.architecture) = ((Int(major), Int(minor)), architecture)
    }

    func options(_ definitions: [String]) -> [String] {
        ["--gpu-architecture=\(architecture)", "--std=c++17", "-default-device"]
            + definitions.map { "-D\($0)" }
    }

    public func image(of source: String, definitions: [String]) throws(CUDAError) -> [UInt8] {
        let (text, headers) = (try sources.text(source), sources.headers)
        var program: nvrtcProgram?
        let created = withCStrings(headers.map(\.text)) { texts in
            withCStrings(headers.map(\.name)) { names in
                api.createProgram(&program, text, source, Int32(headers.count), texts, names)
            }
        }
        try check(created, source, program)
        defer { _ = api.destroyProgram(&program) }
        let options = options(definitions)
        try check(
            withCStrings(options) { api.compileProgram(program, Int32(options.count), $0) }, source, program)
        var size = 0
        try check(api.getCUBINSize(program, &size), source, program)
        var image = [CChar](repeating: 0, count: size)
        try check(api.getCUBIN(program, &image), source, program)
        return image.map { UInt8(bitPattern: $0) }
    }

    private func check(_ status: nvrtcResult, _ source: String, _ program: nvrtcProgram?) throws(CUDAError) {
        guard status != 0 else { return }
        var size = 0
        _ = api.getProgramLogSize(program, &size)
        var log = [CChar](repeating: 0, count: size + 1)
        _ = api.getProgramLog(program, &log)
        let reason = api.getErrorString(status).map { String(cString: $0) } ?? "error \(status)"
        let text = String(decoding: log.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        throw .compilation(source: source, architecture: architecture, log: "\(reason)\n\(text)")
    }
}

/// Keeps what another compiler made on disk, under a name that says what went into it.
public struct CachingCompiler: KernelCompiler {
    private let compiler: RuntimeCompiler
    private let folder: URL
    private let sources = KernelSources()

    public init(_ compiler: RuntimeCompiler, folder: URL = Self.standardFolder) {
        (self.compiler, self.folder) = (compiler, folder)
    }

    /// `lightllm/cuda` in the user's cache.
    public static var standardFolder: URL {
        let environment = ProcessInfo.processInfo.environment
        let root =
            environment["XDG_CACHE_HOME"].flatMap { $0.hasPrefix("/") ? $0 : nil }
            ?? "\(environment["HOME"] ?? NSTemporaryDirectory())/.cache"
        return URL(fileURLWithPath: "\(root)/lightllm/cuda")
    }

    public func image(of source: String, definitions: [String]) throws(CUDAError) -> [UInt8] {
        let file = folder.appendingPathComponent(try name(source, definitions))
        if let data = FileManager.default.contents(atPath: file.path),
            data.starts(with: [0x7F, 0x45, 0x4C, 0x46])
        {
            return Array(data)
        }
        let image = try compiler.image(of: source, definitions: definitions)
        // A cache that cannot be written is none; the next start compiles again.
        try? FileManager.default.createDirectory(
            at: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        try? Data(image).write(to: file, options: .atomic)
        return image
    }

    private func name(_ source: String, _ definitions: [String]) throws(CUDAError) -> String {
        try sources.imageName(
            source, compiler.architecture, compiler.options(definitions) + ["\(compiler.version)"])
    }
}

/// What was compiled elsewhere, for machines that have a driver and no compiler.
public struct ExportedKernels: KernelCompiler {
    private let folder: URL
    private let architecture: String
    private let sources = KernelSources()

    public init(folder: URL, architecture: String) {
        (self.folder, self.architecture) = (folder, architecture)
    }

    public func image(of source: String, definitions: [String]) throws(CUDAError) -> [UInt8] {
        let file = folder.appendingPathComponent(try sources.imageName(source, architecture, definitions))
        guard let data = FileManager.default.contents(atPath: file.path) else {
            throw .notExported(source, definitions: definitions, path: file.path)
        }
        return Array(data)
    }

    /// Compiles a source into the folder and returns the bytes of the machine code.
    public func export(
        _ source: String, definitions: [String], with compiler: RuntimeCompiler
    ) throws -> Int {
        let image = try compiler.image(of: source, definitions: definitions)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let name = try sources.imageName(source, architecture, definitions)
        try Data(image).write(to: folder.appendingPathComponent(name), options: .atomic)
        return image.count
    }
}

/// Calls `body` with the strings as C has them.
private func withCStrings<Result>(
    _ strings: [String], _ body: (UnsafePointer<UnsafePointer<CChar>?>?) -> Result
) -> Result {
    let copies = strings.map { strdup($0) }
    defer { for copy in copies { free(copy) } }
    return copies.map { UnsafePointer($0) }.withUnsafeBufferPointer { body($0.baseAddress) }
}
