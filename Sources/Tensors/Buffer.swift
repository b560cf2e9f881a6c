/// A block of backend memory, released when the last matrix that views it goes away.
public final class Buffer: @unchecked Sendable {
    // Unsafe: kernels read and write through `address`. Only matrices that keep this buffer alive hand it
    // out, and operations on one matrix are ordered by the thread that runs the forward pass.
    public let address: UnsafeMutableRawPointer
    private let release: @Sendable (UnsafeMutableRawPointer) -> Void

    public init(
        address: UnsafeMutableRawPointer, release: @escaping @Sendable (UnsafeMutableRawPointer) -> Void
    ) {
        (self.address, self.release) = (address, release)
    }

    deinit { release(address) }
}
