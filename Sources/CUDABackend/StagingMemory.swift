import CUDARuntime

/// Pinned memory of the host through which small arrays go to the device and back.
final class StagingMemory: @unchecked Sendable {
    // Unsafe: used by the thread that runs the forward pass alone.
    private let stream: DeviceStream
    private let outgoing: UnsafeMutableRawPointer
    private var used = 0
    private var incoming: UnsafeMutableRawBufferPointer
    /// Bytes that are on their way there.
    private var expected: Int?
    private static let capacity = 8 << 20

    init(_ stream: DeviceStream) throws(CUDAError) {
        self.stream = stream
        outgoing = try stream.device.allocatePinned(bytes: Self.capacity)
        let size = 1 << 20
        incoming = UnsafeMutableRawBufferPointer(
            start: try stream.device.allocatePinned(bytes: size), count: size)
    }

    deinit {
        stream.device.freePinned(outgoing)
        if let start = incoming.baseAddress { stream.device.freePinned(start) }
    }

    /// Enqueues a copy to the device. `bytes` may change when this returns.
    func send(_ bytes: UnsafeRawBufferPointer, to address: DeviceAddress) throws(CUDAError) {
        guard let start = bytes.baseAddress, !bytes.isEmpty else { return }
        guard bytes.count <= Self.capacity / 4 else {
            return try stream.copy(bytes.count, from: start, to: address)
        }
        if used + bytes.count > Self.capacity {
            // What is still on its way lies in the part that is written next.
            try stream.synchronize()
            used = 0
        }
        let place = outgoing + used
        place.copyMemory(from: start, byteCount: bytes.count)
        used += (bytes.count + 63) / 64 * 64
        try stream.copy(bytes.count, from: place, to: address)
    }

    /// Copies parts of the device's memory to the host, one after the other, and waits for them. What is returned
    /// holds until the next call.
    func receive(_ parts: [(address: DeviceAddress, bytes: Int)]) throws(CUDAError) -> UnsafeRawBufferPointer
    {
        try startReceiving(parts)
        return try finishReceiving()
    }

    /// The same without waiting; `finishReceiving` does, and nothing else is received before.
    func startReceiving(_ parts: [(address: DeviceAddress, bytes: Int)]) throws(CUDAError) {
        precondition(expected == nil, "other bytes are on their way")
        let total = parts.reduce(0) { $0 + $1.bytes }
        if total > incoming.count {
            let larger = try stream.device.allocatePinned(bytes: 2 * total)
            if let start = incoming.baseAddress { stream.device.freePinned(start) }
            incoming = UnsafeMutableRawBufferPointer(start: larger, count: 2 * total)
        }
        expected = total
        guard let start = incoming.baseAddress else { return }
        var (index, offset) = (0, 0)
        while index < parts.count {
            // Parts that follow one another are one copy.
            var (end, bytes) = (index + 1, parts[index].bytes)
            while end < parts.count, parts[end].address == parts[index].address + bytes {
                bytes += parts[end].bytes
                end += 1
            }
            try stream.copy(bytes, from: parts[index].address, toHost: start + offset)
            (index, offset) = (end, offset + bytes)
        }
    }

    func finishReceiving() throws(CUDAError) -> UnsafeRawBufferPointer {
        defer { expected = nil }
        try stream.synchronize()
        used = 0
        return UnsafeRawBufferPointer(start: incoming.baseAddress, count: expected ?? 0)
    }
}
