import CCUDA

/// What of CUDA a machine has.
public enum Doctor {
    /// Calls `report` with each library or device and what was found, or tried in vain.
    public static func report(
        _ finder: LibraryFinder = LibraryFinder(), _ report: (_ name: String, _ finding: String) -> Void
    ) {
        for (name, probe) in probes {
            do throws(CUDAError) { report(name, try probe(finder)) } catch { report(name, "\(error)") }
        }
    }

    private static let probes:
        [(name: String, probe: @Sendable (LibraryFinder) throws(CUDAError) -> String)] = [
            (
                "driver",
                { finder throws(CUDAError) in
                    let driver = try Driver(finder)
                    return "\(driver.path), for CUDA \(driver.version / 1000).\(driver.version % 1000 / 10)"
                }
            ),
            (
                "device",
                { finder throws(CUDAError) in
                    let device = try Device(try Driver(finder))
                    let memory = try device.memory()
                    return
                        "\(device.name), \(device.architecture), \(device.multiprocessors) multiprocessors, "
                        + "\(memory.free >> 20) of \(memory.total >> 20) MiB free"
                }
            ),
            (
                "compiler",
                { finder throws(CUDAError) in
                    let compiler = try RuntimeCompiler(architecture: "sm_80", finder)
                    return "\(compiler.path), NVRTC \(compiler.version.major).\(compiler.version.minor)"
                }
            ),
            (
                "cuBLASLt",
                { finder throws(CUDAError) in
                    let (api, path) = try finder.load(
                        "libcublasLt.so", versions: LibraryFinder.versions(forDriver: nil),
                        ccuda_resolve_cublaslt)
                    return "\(path), version \(api.getVersion())"
                }
            ),
            (
                "NCCL",
                { finder throws(CUDAError) in
                    let (_, path) = try finder.load("libnccl.so", versions: [2], ccuda_resolve_nccl)
                    return path
                }
            ),
        ]
}
