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
        discussion: "There the environment variable LIGHTLLM_CUDA_KERNELS names the folder.")

    @Option(name: .customLong("arch"), help: "Architectures, separated by commas: sm_80, sm_90a, ...")
    var architectures: String

    @Option(name: .customLong("out"), help: "The folder to write to.")
    var folder: String

    func run() throws {
        for architecture in architectures.split(separator: ",") {
            try CUDABackend.exportKernels(
                for: String(architecture), to: URL(fileURLWithPath: folder)
            ) { name, bytes in
                print("\(architecture) \(name): \(bytes) bytes")
            }
        }
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

    @Option(name: .customLong("seconds"), help: "How long the service runs.")
    var seconds = 60

    func run() async throws {
        let recorder = try Recorder(section: section.rawValue, path: path)
        guard
            try await GPUCheck.run(
                section, products: products, goldens: goldens,
                seconds: seconds, recorder)
        else {
            throw ExitCode.failure
        }
    }
}

extension GPUCheck.Section: ExpressibleByArgument {}

extension ProductKernels: ExpressibleByArgument {}
