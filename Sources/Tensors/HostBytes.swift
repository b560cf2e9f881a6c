/// Bytes in host memory that stay valid as long as this value lives: a part of a mapped file, or a copy.
public struct HostBytes: @unchecked Sendable {
    // Unsafe: `start` points into memory that `owner` keeps alive, and nobody writes to it.
    public let start: UnsafeRawPointer
    public let count: Int
    private let owner: any AnyObject & Sendable

    /// `owner` must keep `count` readable, never changing bytes at `start` alive.
    public init(start: UnsafeRawPointer, count: Int, owner: any AnyObject & Sendable) {
        (self.start, self.count, self.owner) = (start, count, owner)
    }

    /// A copy of `bytes`, aligned for any element type.
    public init(copying bytes: some Collection<UInt8>) {
        let copy = HostCopy(count: bytes.count)
        copy.memory.copyBytes(from: bytes)
        self.init(start: UnsafeRawPointer(copy.address), count: bytes.count, owner: copy)
    }

    /// `count` bytes, aligned for any element type, that `write` fills. What it leaves alone is undefined, and takes
    /// no memory where it is large.
    public init<E: Error>(
        count: Int, writing write: (UnsafeMutableRawBufferPointer) throws(E) -> Void
    ) throws(E) {
        let copy = HostCopy(count: count)
        try write(copy.memory)
        self.init(start: UnsafeRawPointer(copy.address), count: count, owner: copy)
    }

    /// Says that the bytes will hardly be read again, so that the memory they take may be used otherwise. They
    /// stay readable.
    public func evict() { (owner as? any EvictableMemory)?.evict(start, count) }

    public var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: start, count: count) }

    /// The part at `range`, sharing memory. `range` must lie within `0..<count`.
    public subscript(range: Range<Int>) -> HostBytes {
        precondition(range.lowerBound >= 0 && range.upperBound <= count, "bytes \(range) of \(count)")
        return HostBytes(start: start + range.lowerBound, count: range.count, owner: owner)
    }
}

/// Memory that can be had again from elsewhere, as that of a mapped file can.
public protocol EvictableMemory: AnyObject {
    /// Gives up whole pages within `count` bytes from `start` until they are read again.
    func evict(_ start: UnsafeRawPointer, _ count: Int)
}

/// Memory written once while a `HostBytes` is made, then only read.
private final class HostCopy: @unchecked Sendable {
    let address: UnsafeMutableRawPointer
    let memory: UnsafeMutableRawBufferPointer

    init(count: Int) {
        address = .allocate(byteCount: max(count, 1), alignment: 64)
        memory = UnsafeMutableRawBufferPointer(start: address, count: count)
    }

    deinit { address.deallocate() }
}
