import CCUDA

/// One argument of a kernel.
public struct KernelArgument: Sendable, Equatable {
    let word: UInt64

    private init(_ word: UInt64) { self.word = word }

    public static func address(_ address: UnsafeRawPointer?) -> KernelArgument {
        KernelArgument(UInt64(UInt(bitPattern: address)))
    }

    /// A kernel's `int`.
    public static func int(_ value: Int) -> KernelArgument {
        KernelArgument(UInt64(UInt32(bitPattern: Int32(value))))
    }

    /// A kernel's `i64`.
    public static func long(_ value: Int) -> KernelArgument {
        KernelArgument(UInt64(bitPattern: Int64(value)))
    }

    public static func float(_ value: Float) -> KernelArgument { KernelArgument(UInt64(value.bitPattern)) }
}

/// How many blocks of a launch, or threads of a block, there are in each dimension.
public struct Extent: Sendable, Equatable {
    public let (x, y, z): (Int, Int, Int)
    public init(_ x: Int, _ y: Int = 1, _ z: Int = 1) { (self.x, self.y, self.z) = (x, y, z) }
}

/// A function that runs on the device.
public struct Kernel: @unchecked Sendable {
    // Unsafe: a handle of the driver that its module keeps alive.
    let handle: CUfunction?
    private let module: Module

    fileprivate init(_ handle: CUfunction?, of module: Module) {
        (self.handle, self.module) = (handle, module)
    }

    /// `shared` is in bytes.
    public func launch(
        _ grid: Extent, _ block: Extent, shared: Int = 0, _ arguments: [KernelArgument],
        on stream: DeviceStream
    ) throws(CUDAError) {
        try launch(grid, block, shared: shared, arguments[...], on: stream)
    }

    func launch(
        _ grid: Extent, _ block: Extent, shared: Int, _ arguments: ArraySlice<KernelArgument>,
        on stream: DeviceStream
    ) throws(CUDAError) {
        let driver = module.device.driver
        try stream.watch?.noteWork()
        let status = arguments.withPointers { pointers in
            driver.api.launchKernel(
                handle, UInt32(grid.x), UInt32(grid.y), UInt32(grid.z), UInt32(block.x), UInt32(block.y),
                UInt32(block.z), UInt32(shared), stream.handle, pointers, nil)
        }
        try driver.check(status, "cuLaunchKernel")
    }
}

extension ArraySlice<KernelArgument> {
    /// The arguments as the driver takes them: a pointer to each, then null.
    func withPointers<Result>(
        _ body: (UnsafeMutablePointer<UnsafeMutableRawPointer?>?) -> Result
    ) -> Result {
        // Unsafe: the driver reads the arguments through pointers before it returns, and changes nothing.
        withUnsafeBufferPointer { words in
            withUnsafeTemporaryAllocation(of: UnsafeMutableRawPointer?.self, capacity: count + 1) {
                pointers in
                for index in words.indices {
                    pointers.initializeElement(
                        at: index, to: words.baseAddress.map { UnsafeMutableRawPointer(mutating: $0 + index) }
                    )
                }
                pointers.initializeElement(at: words.count, to: nil)
                return body(pointers.baseAddress)
            }
        }
    }
}

/// Machine code on a device.
public final class Module: @unchecked Sendable {
    // Unsafe: a handle of the driver.
    let device: Device
    private let handle: CUmodule?

    public init(_ image: [UInt8], on device: Device) throws(CUDAError) {
        var handle: CUmodule?
        try device.makeCurrent()
        try device.driver.check(device.driver.api.moduleLoadData(&handle, image), "cuModuleLoadData")
        (self.device, self.handle) = (device, handle)
    }

    deinit { _ = device.driver.api.moduleUnload(handle) }

    /// `shared` is the most shared memory of a launch, in bytes.
    public func kernel(_ name: String, shared: Int = 0) throws(CUDAError) -> Kernel {
        var function: CUfunction?
        let status = device.driver.api.moduleGetFunction(&function, handle, name)
        guard status == 0 else { throw .unknownKernel(name) }
        if shared > 48 << 10 {
            try device.driver.check(
                device.driver.api.funcSetAttribute(
                    function, Int32(CCUDA_FUNC_ATTR_MAX_DYN_SMEM), Int32(shared)),
                "cuFuncSetAttribute")
        }
        return Kernel(function, of: self)
    }
}
