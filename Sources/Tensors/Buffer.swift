/// A block of backend memory, which lives as long as a matrix views it. Subclasses say what becomes of the memory
/// then.
open class Buffer: @unchecked Sendable {
    // Unsafe: kernels read and write through `address`. Only matrices that keep this buffer alive hand it
    // out, and operations on one matrix are ordered by the thread that runs the forward pass.
    public let address: UnsafeMutableRawPointer

    public init(address: UnsafeMutableRawPointer) { self.address = address }
}

/// A buffer that hands its memory to a closure in the end.
public final class OwnedBuffer: Buffer, @unchecked Sendable {
    private let release: @Sendable (UnsafeMutableRawPointer) -> Void

    public init(
        address: UnsafeMutableRawPointer, release: @escaping @Sendable (UnsafeMutableRawPointer) -> Void
    ) {
        self.release = release
        super.init(address: address)
    }

    deinit { release(address) }
}
