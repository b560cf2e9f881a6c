import CUDARuntime

/// The small arrays of a recorded step. They are packed on the host, copied together, and lie on the device in memory of
/// their own, so that nothing which is recorded can write there before they are read.
///
/// Whoever holds one of them keeps the next step from being recorded.
final class StepInputs {
    /// Pinned memory that takes turns with another: the device may still read what the last step left there.
    private struct Block {
        let memory: UnsafeMutableRawPointer
        let event: DeviceEvent
    }

    /// Held by every array that was handed out.
    private final class Hold {}

    private let stream: DeviceStream
    private let memory: DeviceAddress
    private let blocks: [Block]
    private var current = 0
    private var hold = Hold()
    /// Bytes that are handed out, and of these copied.
    private var used = 0
    private var copied = 0
    private static let capacity = 4 << 20

    init(_ stream: DeviceStream) throws(CUDAError) {
        let device = stream.device
        self.stream = stream
        memory = try device.allocate(bytes: Self.capacity)
        var blocks: [Block] = []
        for _ in 0..<2 {
            blocks.append(
                Block(
                    memory: try device.allocatePinned(bytes: Self.capacity), event: try DeviceEvent(device)))
        }
        self.blocks = blocks
    }

    deinit {
        for block in blocks { stream.device.freePinned(block.memory) }
        stream.device.free(memory)
    }

    /// Starts a step, unless arrays of the last one are still held.
    func begin() throws(CUDAError) -> Bool {
        guard isKnownUniquelyReferenced(&hold) else { return false }
        current = 1 - current
        try blocks[current].event.wait()
        (used, copied) = (0, 0)
        return true
    }

    /// A place for `bytes`, which are there when what is recorded runs; nil when there is no room.
    func place(_ bytes: UnsafeRawBufferPointer) -> DeviceBuffer? {
        let size = Self.rounded(bytes.count)
        guard used + size <= Self.capacity else { return nil }
        defer { used += size }
        if let start = bytes.baseAddress {
            (blocks[current].memory + used).copyMemory(from: start, byteCount: bytes.count)
        }
        return DeviceBuffer(memory + used, bytes: bytes.count, arena: nil, holding: hold)
    }

    /// To one of eight sizes up to each power of two, so that what lies behind an array that grows with every step
    /// seldom moves.
    static func rounded(_ bytes: Int) -> Int {
        var unit = 256
        while 16 * unit < bytes { unit *= 2 }
        return max(1, (bytes + unit - 1) / unit) * unit
    }

    /// Enqueues the copy of what was placed since the last one.
    func copy() throws(CUDAError) {
        guard used > copied else { return }
        try stream.copy(used - copied, from: blocks[current].memory + copied, to: memory + copied)
        copied = used
    }

    /// Notes that the step needs nothing more.
    func end() throws(CUDAError) { try blocks[current].event.record(on: stream) }
}
