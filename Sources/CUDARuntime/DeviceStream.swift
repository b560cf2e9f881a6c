import CCUDA

/// Work for a device, done in order.
public final class DeviceStream: @unchecked Sendable {
    // Unsafe: a handle of the driver; callers use it from one thread at a time.
    public let device: Device
    let handle: CUstream?
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
        try device.driver.check(api.streamSynchronize(handle), "cuStreamSynchronize")
    }

    /// Memory that is not pinned has been read when this returns.
    public func copy(
        _ bytes: Int, from host: UnsafeRawPointer, to address: DeviceAddress
    ) throws(CUDAError) {
        guard bytes > 0 else { return }
        try device.driver.check(
            api.memcpyHtoDAsync(CUdeviceptr(UInt(bitPattern: address)), host, bytes, handle),
            "cuMemcpyHtoDAsync")
    }

    /// The bytes are there once the stream was synchronised.
    public func copy(
        _ bytes: Int, from address: DeviceAddress, toHost host: UnsafeMutableRawPointer
    ) throws(CUDAError) {
        guard bytes > 0 else { return }
        try device.driver.check(
            api.memcpyDtoHAsync(host, CUdeviceptr(UInt(bitPattern: address)), bytes, handle),
            "cuMemcpyDtoHAsync")
    }

    public func fill(_ bytes: Int, at address: DeviceAddress, with value: UInt8) throws(CUDAError) {
        guard bytes > 0 else { return }
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

    /// Keeps the work that `body` enqueues, without doing it.
    public func capture(_ body: () throws -> Void) throws -> Graph {
        try device.driver.check(
            api.streamBeginCapture(handle, Int32(CCUDA_CAPTURE_THREAD_LOCAL)), "cuStreamBeginCapture"
        )
        var graph: CUgraph?
        do {
            try body()
        } catch {
            if api.streamEndCapture(handle, &graph) == 0 { _ = api.graphDestroy(graph) }
            throw error
        }
        try device.driver.check(api.streamEndCapture(handle, &graph), "cuStreamEndCapture")
        defer { _ = api.graphDestroy(graph) }
        var exec: CUgraphExec?
        try device.driver.check(api.graphInstantiate(&exec, graph, 0), "cuGraphInstantiate")
        return Graph(exec, on: self)
    }
}

/// Work that was captured, to be done again with one call.
public final class Graph: @unchecked Sendable {
    // Unsafe: as for the stream.
    private let handle: CUgraphExec?
    private let stream: DeviceStream

    fileprivate init(_ handle: CUgraphExec?, on stream: DeviceStream) {
        (self.handle, self.stream) = (handle, stream)
    }

    deinit { _ = stream.device.driver.api.graphExecDestroy(handle) }

    public func launch() throws(CUDAError) {
        let driver = stream.device.driver
        try driver.check(driver.api.graphLaunch(handle, stream.handle), "cuGraphLaunch")
    }
}
