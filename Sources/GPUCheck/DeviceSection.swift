import CUDABackend
import CUDARuntime
import JSON

extension GPUCheck {
    static func measureDevice(_ backend: CUDABackend, _ recorder: Recorder) throws {
        let device = backend.device
        let memory = try device.memory()
        recorder.record(
            "device",
            [
                "name": .string(device.name), "architecture": .string(device.architecture),
                "driver": .integer(device.driver.version),
                "multiprocessors": .integer(device.multiprocessors),
                "free MiB": .integer(memory.free >> 20), "total MiB": .integer(memory.total >> 20),
                "L2 MiB": .integer(device.cacheBytes >> 20),
                "shared KiB": .integer(device.sharedMemory >> 10),
            ])
        recorder.record("copy", ["TB/s": .number(try backend.copyBandwidth(bytes: 4 << 30) / 1e12)])
    }
}
