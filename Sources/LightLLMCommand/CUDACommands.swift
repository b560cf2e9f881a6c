public import ArgumentParser
public import CUDABackend
import CUDARuntime
import Foundation
public import GPUCheck

/// Prints what of CUDA is found and what was tried.
struct DoctorCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor", abstract: "Say which libraries and devices for CUDA were found, and where.")

    func run() throws { Doctor.report { print("\($0): \($1)") } }
}

/// Compiles the CUDA kernels ahead, for machines without the compiler.
struct CubinsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cubins",
        abstract: "Compile the CUDA kernels for machines that have a driver and no compiler.",
        discussion: """
            There the environment variable LIGHTLLM_CUDA_KERNELS names the folder. Without one they are kept where a \
            server keeps those that it compiled.
            """)

    @Option(name: .customLong("arch"), help: "Architectures, separated by commas: sm_80, sm_90a, ...")
    var architectures: String

    @Option(name: .customLong("out"), help: "The folder to write to.")
    var folder: String?

    @Option(
        name: .customLong("module"), help: "One of them alone, by source and definitions, as --list has it.")
    var module: String?

    @Flag(name: .customLong("list"), help: "Only print architecture, source and definitions of each.")
    var isList = false

    func run() throws {
        for architecture in architectures.split(separator: ",").map(String.init) {
            let modules = try modules(for: architecture)
            guard !isList else {
                for words in modules { print(([architecture] + words).joined(separator: " ")) }
                continue
            }
            // Where there is a driver, with the compiler that a server takes there.
            let compiler = try RuntimeCompiler(
                architecture: architecture, driverVersion: (try? Driver())?.version)
            let target = folder.map {
                ExportedKernels(folder: URL(fileURLWithPath: $0), architecture: architecture)
            }
            for words in modules {
                let definitions = Array(words.dropFirst())
                let bytes =
                    try target?.export(words[0], definitions: definitions, with: compiler)
                    ?? CachingCompiler(compiler).image(of: words[0], definitions: definitions).count
                print("\(architecture) \(words.joined(separator: " ")): \(bytes) bytes")
            }
        }
    }

    /// Source and definitions of each.
    private func modules(for architecture: String) throws -> [[String]] {
        let all = CUDABackend.kernelModules(for: architecture)
        guard let module else { return all }
        let words = module.split(separator: " ").map(String.init)
        guard all.contains(words) else {
            throw ValidationError("--module \(module) is none of those that --list prints")
        }
        return [words]
    }
}

/// A section of Scripts/gpu-check.sh.
struct GPUCheckCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "gpu-check", abstract: "Check and measure the CUDA backend on a machine with a GPU.",
        shouldDisplay: false)

    @Option(name: .customLong("section"), help: "What is done.")
    var section: GPUCheck.Section

    @Option(name: .customLong("products"), help: "Which kernels multiply: warps, groups or library.")
    var products: ProductKernels?

    @Option(name: .customLong("json"), help: "A file to add findings to, a JSON object a line.")
    var path: String?

    @Option(name: .customLong("goldens"), help: "A folder of recorded models.")
    var goldens: String?

    @Option(name: .customLong("seconds"), help: "How long the service may take with a cache of 16 bits.")
    var seconds = 90

    @Option(name: .customLong("findings"), help: "The file of findings that bars are held against.")
    var findings: String?

    func run() async throws {
        let recorder = try Recorder(section: section.rawValue, path: path)
        guard
            try await GPUCheck.run(
                section, products: products, goldens: goldens,
                seconds: seconds, findings: findings, recorder)
        else {
            throw ExitCode.failure
        }
    }
}

extension GPUCheck.Section: ExpressibleByArgument {}

extension ProductKernels: ExpressibleByArgument {}
