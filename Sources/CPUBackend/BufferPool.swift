import Synchronization
import Tensors

/// Activation memory, reused from step to step. Blocks come in powers of two, so that batches of changing
/// size find what earlier ones left.
final class BufferPool: Sendable {
    private struct Block: @unchecked Sendable {
        // Unsafe: a block is either in the pool or owned by the one buffer that will return it.
        let address: UnsafeMutableRawPointer
    }

    /// Free blocks of `1 << index` bytes.
    private let free = Mutex([[Block]](repeating: [], count: Int.bitWidth))
    /// No block is smaller than `1 << 8` bytes.
    private static let least = 8

    deinit {
        free.withLock { free in
            for block in free.joined() { block.address.deallocate() }
        }
    }

    /// At least `bytes` of undefined content, aligned for any kernel.
    func buffer(bytes: Int) -> Buffer {
        let size = max(Self.least, bytes <= 1 ? 0 : Int.bitWidth - (bytes - 1).leadingZeroBitCount)
        let reused = free.withLock { $0[size].popLast() }
        let address = reused?.address ?? .allocate(byteCount: 1 << size, alignment: 64)
        return PooledBuffer(address: address, size: size, pool: self)
    }

    fileprivate func reclaim(_ address: UnsafeMutableRawPointer, size: Int) {
        let block = Block(address: address)
        free.withLock { $0[size].append(block) }
    }
}

/// A buffer whose block goes back to its pool.
private final class PooledBuffer: Buffer, @unchecked Sendable {
    // Unsafe: as its superclass says; what it adds never changes.
    private let size: Int
    private let pool: BufferPool

    init(address: UnsafeMutableRawPointer, size: Int, pool: BufferPool) {
        (self.size, self.pool) = (size, pool)
        super.init(address: address)
    }

    deinit { pool.reclaim(address, size: size) }
}
