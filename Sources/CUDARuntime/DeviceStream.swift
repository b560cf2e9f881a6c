import CCUDA

/// Work for a device, done in order.
public final class DeviceStream: @unchecked Sendable {
    // Unsafe: a handle of the driver; callers use it from one thread at a time.
    public let device: Device
    let handle: CUstream?
    /// Nil where nobody wants to know how long the stream has nothing to do.
    var watch: IdleWatch?
    private var api: ccuda_driver_api { device.driver.api }

    public init(_ device: Device) throws(CUDAError) {
        var handle: CUstream?
        try device.makeCurrent()
        try device.driver.check(
            device.driver.api.streamCreate(&handle, UInt32(CCUDA_STREAM_NON_BLOCKING)), "cuStreamCreate")
        (self.device, self.handle) = (device, handle)
    }

    deinit { _ = api.streamDestroy(handle) }

    public func synchronize() throws(CUDAError) {
        try watch?.noteWait()
        try device.driver.check(api.streamSynchronize(handle), "cuStreamSynchronize")
        try watch?.noteEnd()
    }

    /// Memory that is not pinned has been read when this returns.
    public func copy(
        _ bytes: Int, from host: UnsafeRawPointer, to address: DeviceAddress
    ) throws(CUDAError) {
        guard bytes > 0 else { return }
        try watch?.noteWork()
        try device.driver.check(
            api.memcpyHtoDAsync(CUdeviceptr(UInt(bitPattern: address)), host, bytes, handle),
            "cuMemcpyHtoDAsync")
    }

    /// The bytes are there once the stream was synchronised.
    public func copy(
        _ bytes: Int, from address: DeviceAddress, toHost host: UnsafeMutableRawPointer
    ) throws(CUDAError) {
        guard bytes > 0 else { return }
        try watch?.noteWork()
        try device.driver.check(
            api.memcpyDtoHAsync(host, CUdeviceptr(UInt(bitPattern: address)), bytes, handle),
            "cuMemcpyDtoHAsync")
    }

    public func fill(_ bytes: Int, at address: DeviceAddress, with value: UInt8) throws(CUDAError) {
        guard bytes > 0 else { return }
        try watch?.noteWork()
        try device.driver.check(
            api.memsetD8Async(CUdeviceptr(UInt(bitPattern: address)), value, bytes, handle),
            "cuMemsetD8Async")
    }

    /// Milliseconds of the device's time that the work which `body` enqueues takes.
    public func time(_ body: () throws -> Void) throws -> Double {
        var (start, end): (CUevent?, CUevent?)
        try device.makeCurrent()
        try device.driver.check(api.eventCreate(&start, 0), "cuEventCreate")
        try device.driver.check(api.eventCreate(&end, 0), "cuEventCreate")
        defer {
            _ = api.eventDestroy(start)
            _ = api.eventDestroy(end)
        }
        try device.driver.check(api.eventRecord(start, handle), "cuEventRecord")
        try body()
        try device.driver.check(api.eventRecord(end, handle), "cuEventRecord")
        try device.driver.check(api.eventSynchronize(end), "cuEventSynchronize")
        var milliseconds: Float = 0
        try device.driver.check(api.eventElapsedTime(&milliseconds, start, end), "cuEventElapsedTime")
        return Double(milliseconds)
    }
}

/// A place in a stream's work.
public final class DeviceEvent: @unchecked Sendable {
    // Unsafe: a handle of the driver, used from one thread at a time.
    private let device: Device
    private let handle: CUevent?

    public init(_ device: Device) throws(CUDAError) {
        var handle: CUevent?
        try device.makeCurrent()
        try device.driver.check(
            device.driver.api.eventCreate(&handle, UInt32(CCUDA_EVENT_WITHOUT_TIME)), "cuEventCreate")
        (self.device, self.handle) = (device, handle)
    }

    deinit { _ = device.driver.api.eventDestroy(handle) }

    /// From now on it is the end of what has been enqueued so far.
    public func record(on stream: DeviceStream) throws(CUDAError) {
        try device.driver.check(device.driver.api.eventRecord(handle, stream.handle), "cuEventRecord")
    }

    /// Waits until the stream has come to it; not at all if it is in none.
    public func wait() throws(CUDAError) {
        try device.driver.check(device.driver.api.eventSynchronize(handle), "cuEventSynchronize")
    }
}
