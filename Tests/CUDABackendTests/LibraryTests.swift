import CCUDAHost
import CPUBackend
import CUDABackend
import CUDARuntime
import Foundation
import Testing

/// What a machine lacks of CUDA, or has in another version.
@Suite struct LibraryTests {
    /// Libraries that the loader takes and that have nothing of NVIDIA's, in a folder of their own.
    private static func folder(_ names: String...) throws -> URL {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let any = try #require(
            [
                "/usr/lib/x86_64-linux-gnu/libm.so.6", "/usr/lib/aarch64-linux-gnu/libm.so.6",
                "/usr/lib64/libm.so.6",
            ]
            .first { FileManager.default.fileExists(atPath: $0) })
        for name in names {
            try FileManager.default.copyItem(
                at: URL(fileURLWithPath: any), to: folder.appendingPathComponent(name))
        }
        return folder
    }

    private static func finder(_ folder: String) -> LibraryFinder {
        LibraryFinder(environment: ["LIGHTLLM_CUDA_LIB": folder, "PATH": "/nowhere"])
    }

    @Test func whatIsMissingIsNamed() throws {
        let nowhere = Self.finder("/nowhere")
        #expect {
            try RuntimeCompiler(architecture: "sm_80", nowhere)
        } throws: {
            "\($0)".contains("libnvrtc.so.13 or libnvrtc.so.12 was not found")
        }
        var findings: [String] = []
        Doctor.report(nowhere) { name, _ in findings.append(name) }
        #expect(findings == ["driver", "device", "compiler", "cuBLASLt", "NCCL"])
    }

    /// A library without what is wanted is named, as is what it lacks; the environment's folder comes first.
    @Test func whatLacksEntryPointsIsNamed() throws {
        let folder = try Self.folder("libnvrtc.so.12", "libnvrtc.so.13", "libcuda.so.1")
        defer { try? FileManager.default.removeItem(at: folder) }
        let finder = Self.finder(folder.path)
        #expect {
            try RuntimeCompiler(architecture: "sm_80", finder)
        } throws: {
            "\($0)".contains("\(folder.path)/libnvrtc.so.13: ") && "\($0)".contains("nvrtc")
        }
        #expect {
            try Driver(finder)
        } throws: {
            "\($0)".contains("libcuda.so at \(folder.path)/libcuda.so.1: ")
        }
    }

    /// A driver takes no image of a later toolkit's compiler.
    @Test func compilersAreNotNewerThanTheDriver() throws {
        let folder = try Self.folder("libnvrtc.so.12", "libnvrtc.so.13")
        defer { try? FileManager.default.removeItem(at: folder) }
        #expect {
            try RuntimeCompiler(architecture: "sm_80", driverVersion: 12_040, Self.finder(folder.path))
        } throws: {
            "\($0)".contains("\(folder.path)/libnvrtc.so.12: ")
        }
        try FileManager.default.removeItem(at: folder.appendingPathComponent("libnvrtc.so.12"))
        #expect {
            try RuntimeCompiler(architecture: "sm_80", driverVersion: 12_040, Self.finder(folder.path))
        } throws: {
            "\($0)".contains("libnvrtc.so.12 was not found") && !"\($0)".contains("libnvrtc.so.13")
        }
    }

    @Test func oldDriversAreNamed() throws {
        #expect {
            try makeHostBackend { table in
                cuda_host_driver(table)
                table.pointee.driverGetVersion = { version in
                    version?.pointee = 11_040
                    return 0
                }
            }
        } throws: {
            "\($0)".contains("is for CUDA 11.4; 12.0 or later is needed")
        }
    }
}
