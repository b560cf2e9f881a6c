import CCUDA

/// An address in a device's memory.
public typealias DeviceAddress = UnsafeMutableRawPointer

/// One GPU with its primary context.
public final class Device: @unchecked Sendable {
    // Unsafe: the context is a handle of the driver, which may be used by any thread that makes it current.
    public let driver: Driver
    public let name: String
    public let capability: (major: Int, minor: Int)
    public let multiprocessors: Int
    /// Bytes of shared memory that one block may ask for.
    public let sharedMemory: Int
    public let cacheBytes: Int
    private let handle: CUdevice
    private let context: CUcontext?

    public init(_ driver: Driver, index: Int = 0) throws(CUDAError) {
        var device: CUdevice = 0
        guard driver.version >= 12_000 else {
            throw .noDevice(
                "the driver \(driver.path) is for CUDA \(driver.version / 1000).\(driver.version % 1000 / 10); "
                    + "12.0 or later is needed")
        }
        guard index < driver.deviceCount else {
            throw .noDevice("device \(index) of \(driver.deviceCount)")
        }
        try driver.check(driver.api.deviceGet(&device, Int32(index)), "cuDeviceGet")
        func attribute(_ number: Int) throws(CUDAError) -> Int {
            var value: Int32 = 0
            try driver.check(
                driver.api.deviceGetAttribute(&value, Int32(number), device), "cuDeviceGetAttribute")
            return Int(value)
        }
        var context: CUcontext?
        try driver.check(driver.api.primaryCtxRetain(&context, device), "cuDevicePrimaryCtxRetain")
        var name = [CChar](repeating: 0, count: 256)
        try driver.check(driver.api.deviceGetName(&name, 255, device), "cuDeviceGetName")
        (self.driver, self.context, handle) = (driver, context, device)
        self.name = String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        capability = (
            try attribute(CCUDA_ATTR_CC_MAJOR), try attribute(CCUDA_ATTR_CC_MINOR)
        )
        multiprocessors = try attribute(CCUDA_ATTR_MP_COUNT)
        sharedMemory = try attribute(CCUDA_ATTR_SMEM_OPTIN)
        cacheBytes = try attribute(CCUDA_ATTR_L2_BYTES)
        try makeCurrent()
    }

    deinit { _ = driver.api.primaryCtxRelease(handle) }

    /// Lets the calling thread use the device.
    public func makeCurrent() throws(CUDAError) {
        try driver.check(driver.api.ctxSetCurrent(context), "cuCtxSetCurrent")
    }

    /// What the compiler calls the device. From 9.0 on instructions of one architecture alone need the `a`.
    public var architecture: String {
        "sm_\(capability.major)\(capability.minor)" + (capability.major >= 9 ? "a" : "")
    }

    /// Bytes of memory that are free, and of all.
    public func memory() throws(CUDAError) -> (free: Int, total: Int) {
        var (free, total) = (0, 0)
        try makeCurrent()
        try driver.check(driver.api.memGetInfo(&free, &total), "cuMemGetInfo")
        return (free, total)
    }

    public func allocate(bytes: Int) throws(CUDAError) -> DeviceAddress {
        var address: CUdeviceptr = 0
        try makeCurrent()
        try driver.check(driver.api.memAlloc(&address, max(bytes, 1)), "cuMemAlloc")
        guard let pointer = DeviceAddress(bitPattern: UInt(address)) else {
            throw .driver(call: "cuMemAlloc", code: 0, text: "no address")
        }
        return pointer
    }

    /// The driver waits for what still uses the memory.
    public func free(_ address: DeviceAddress) {
        _ = driver.api.ctxSetCurrent(context)
        _ = driver.api.memFree(CUdeviceptr(UInt(bitPattern: address)))
    }

    /// Memory of the host that the device reads and writes without a detour.
    public func allocatePinned(bytes: Int) throws(CUDAError) -> UnsafeMutableRawPointer {
        var address: UnsafeMutableRawPointer?
        try makeCurrent()
        try driver.check(driver.api.memHostAlloc(&address, bytes, 0), "cuMemHostAlloc")
        guard let address else { throw .driver(call: "cuMemHostAlloc", code: 0, text: "no address") }
        return address
    }

    public func freePinned(_ address: UnsafeMutableRawPointer) {
        _ = driver.api.ctxSetCurrent(context)
        _ = driver.api.memFreeHost(address)
    }
}
