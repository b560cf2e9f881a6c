import Foundation
import Synchronization
import Tensors

/// Activation memory: one range of addresses, in which every buffer takes the lowest gap that holds it. The system
/// provides pages as they are first used, so what is in memory is what was in use at the busiest moment.
final class BufferPool: @unchecked Sendable {
    // Unsafe: a range of the memory belongs to the one buffer that will return it.
    private let address: UnsafeMutableRawPointer
    private let capacity: Int
    private let ranges: Mutex<FreeRanges>

    /// Far more than activations take; addresses cost nothing.
    init(capacity: Int = 1 << 38) {
        var size = capacity
        var mapped = Self.map(size)
        while mapped == MAP_FAILED, size > 1 << 20 {
            size /= 2
            mapped = Self.map(size)
        }
        guard let mapped, mapped != MAP_FAILED else {
            preconditionFailure("no address space for activations")
        }
        (address, self.capacity) = (mapped, size)
        ranges = Mutex(FreeRanges(capacity: size))
    }

    deinit { munmap(address, capacity) }

    private static func map(_ size: Int) -> UnsafeMutableRawPointer? {
        mmap(nil, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    }

    /// The most bytes that were ever in use, gaps between them included.
    var peak: Int { ranges.withLock { $0.peak } }

    /// At least `bytes` of undefined content, aligned for any kernel.
    func buffer(bytes: Int) -> Buffer {
        let size = (max(bytes, 1) + 63) / 64 * 64
        guard let start = ranges.withLock({ $0.take(size) }) else {
            return OwnedBuffer(address: .allocate(byteCount: size, alignment: 64)) { $0.deallocate() }
        }
        return PooledBuffer(address: address + start, range: start..<start + size, pool: self)
    }

    fileprivate func reclaim(_ range: Range<Int>) { ranges.withLock { $0.giveBack(range) } }
}

/// The gaps of a range of addresses, in order; neighbours are one.
struct FreeRanges {
    private var gaps: [Range<Int>]
    private(set) var peak = 0

    init(capacity: Int) { gaps = [0..<capacity] }

    /// Where the lowest gap of `size` begins; nil when there is none.
    mutating func take(_ size: Int) -> Int? {
        guard let index = gaps.firstIndex(where: { $0.count >= size }) else { return nil }
        let (start, end) = (gaps[index].lowerBound, gaps[index].upperBound)
        if start + size == end { gaps.remove(at: index) } else { gaps[index] = start + size..<end }
        peak = max(peak, start + size)
        return start
    }

    mutating func giveBack(_ range: Range<Int>) {
        let index = gaps.firstIndex { $0.lowerBound >= range.upperBound } ?? gaps.count
        let joinsNext = index < gaps.count && gaps[index].lowerBound == range.upperBound
        let joinsLast = index > 0 && gaps[index - 1].upperBound == range.lowerBound
        let start = joinsLast ? gaps[index - 1].lowerBound : range.lowerBound
        let end = joinsNext ? gaps[index].upperBound : range.upperBound
        gaps.replaceSubrange(
            index - (joinsLast ? 1 : 0)..<index + (joinsNext ? 1 : 0), with: CollectionOfOne(start..<end))
    }
}

/// A buffer whose range goes back to its pool.
private final class PooledBuffer: Buffer, @unchecked Sendable {
    // Unsafe: as its superclass says; what it adds never changes.
    private let range: Range<Int>
    private let pool: BufferPool

    init(address: UnsafeMutableRawPointer, range: Range<Int>, pool: BufferPool) {
        (self.range, self.pool) = (range, pool)
        super.init(address: address)
    }

    deinit { pool.reclaim(range) }
}
