import Foundation
import Synchronization
import Tensors

/// Activation memory: ranges of addresses, in which every buffer takes the lowest gap that holds it. The system
/// provides pages as they are first used, so what is in memory is what was in use at the busiest moment.
///
/// One range is more than activations usually take, and few enough addresses for two thousand pools in a process: a
/// process has 128 TiB of them. More ranges follow as they are needed.
final class BufferPool: Sendable {
    private let rangeBytes: Int
    private let ranges = Mutex<[AddressRange]>([])

    init(rangeBytes: Int = 1 << 36) { self.rangeBytes = rangeBytes }

    deinit { ranges.withLock { for range in $0 { range.unmap() } } }

    /// The most bytes that were ever in use, gaps between them included.
    var peak: Int { ranges.withLock { $0.reduce(0) { $0 + $1.free.peak } } }

    /// At least `bytes` of undefined content, aligned for any kernel.
    func buffer(bytes: Int) -> Buffer {
        let size = (max(bytes, 1) + 63) / 64 * 64
        guard let place = ranges.withLock({ take(size, from: &$0) }) else {
            // No more addresses in one piece; there may be some in those of the heap.
            return OwnedBuffer(address: .allocate(byteCount: size, alignment: 64)) { $0.deallocate() }
        }
        return PooledBuffer(place, pool: self)
    }

    private func take(_ size: Int, from ranges: inout [AddressRange]) -> Place? {
        for index in ranges.indices {
            if let place = ranges[index].take(size, number: index) { return place }
        }
        guard var range = AddressRange(atLeast: size, wanted: rangeBytes) else { return nil }
        let place = range.take(size, number: ranges.count)
        ranges.append(range)
        return place
    }

    fileprivate func reclaim(_ place: Place) {
        ranges.withLock { $0[place.number].free.giveBack(place.bytes) }
    }
}

/// Where a buffer is: in which range of its pool, and where there.
private struct Place {
    let number: Int
    let bytes: Range<Int>
    let address: UnsafeMutableRawPointer
}

/// Addresses of the system's that belong to a pool, and which of them are in use.
private struct AddressRange: @unchecked Sendable {
    // Unsafe: a part of the memory belongs to the one buffer that will return it.
    private let address: UnsafeMutableRawPointer
    private let size: Int
    var free: FreeRanges

    /// `wanted` bytes, or as many as the system has in one piece; nil when these are fewer than `least`.
    init?(atLeast least: Int, wanted: Int) {
        var size = max(least, wanted)
        while true {
            let mapped = mmap(
                nil, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
            if let mapped, mapped != MAP_FAILED {
                (address, self.size, free) = (mapped, size, FreeRanges(capacity: size))
                return
            }
            guard size > least else { return nil }
            size = max(size / 2, least)
        }
    }

    mutating func take(_ size: Int, number: Int) -> Place? {
        guard let start = free.take(size) else { return nil }
        return Place(number: number, bytes: start..<start + size, address: address + start)
    }

    func unmap() { munmap(address, size) }
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

/// A buffer whose place goes back to its pool.
private final class PooledBuffer: Buffer, @unchecked Sendable {
    // Unsafe: as its superclass says; what it adds never changes.
    private let place: Place
    private let pool: BufferPool

    init(_ place: Place, pool: BufferPool) {
        (self.place, self.pool) = (place, pool)
        super.init(address: place.address)
    }

    deinit { pool.reclaim(place) }
}
