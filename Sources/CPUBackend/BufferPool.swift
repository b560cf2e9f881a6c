import Synchronization
import Tensors

/// Activation memory, reused from step to step. Blocks come in powers of two, so that batches of changing
/// size find what earlier ones left.
final class BufferPool: Sendable {
    private struct Block: @unchecked Sendable {
        // Unsafe: a block is either in the pool or owned by the one buffer that will return it.
        let address: UnsafeMutableRawPointer
    }

    private let free = Mutex<[Int: [Block]]>([:])

    deinit {
        free.withLock { free in
            for block in free.values.joined() { block.address.deallocate() }
        }
    }

    /// At least `bytes` of undefined content, aligned for any kernel.
    func buffer(bytes: Int) -> Buffer {
        let size = max(256, bytes <= 1 ? 1 : 1 << (Int.bitWidth - (bytes - 1).leadingZeroBitCount))
        let reused = free.withLock { $0[size]?.popLast() }
        let address = reused?.address ?? .allocate(byteCount: size, alignment: 64)
        return Buffer(address: address) { [self] address in
            let block = Block(address: address)
            free.withLock { $0[size, default: []].append(block) }
        }
    }
}
