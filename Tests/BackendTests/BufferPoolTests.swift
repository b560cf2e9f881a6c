import Tensors
import Testing

@testable import CPUBackend

@Suite struct BufferPoolTests {
    /// Against a map of single units: nothing is handed out twice, and the lowest gap is taken.
    @Test(arguments: 1...8) func gapsAreWhatIsNotTaken(_ seed: UInt64) {
        var random = Noise(Int(seed))
        var ranges = FreeRanges(capacity: 60), used = [Bool](repeating: false, count: 60)
        var taken: [Range<Int>] = [], highest = 0
        for _ in 0..<2_000 {
            let size = 1 + Int(abs(random.floats(1)[0]) * 1_000) % 9
            if taken.isEmpty || Int(abs(random.floats(1)[0]) * 1_000) % 5 < 3 {
                let free = (0...60 - size).first { start in !used[start..<start + size].contains(true) }
                let start = ranges.take(size)
                #expect(start == free)
                guard let start else { continue }
                for unit in start..<start + size { used[unit] = true }
                taken.append(start..<start + size)
                highest = max(highest, start + size)
            } else {
                let range = taken.remove(at: Int(abs(random.floats(1)[0]) * 1_000) % taken.count)
                ranges.giveBack(range)
                for unit in range { used[unit] = false }
            }
        }
        #expect(ranges.peak == highest)
        for range in taken { ranges.giveBack(range) }
        #expect(ranges.take(60) == 0, "what came back is one gap again")
    }

    /// More than the pool holds comes from elsewhere.
    @Test func aFullPoolStillGives() {
        let pool = BufferPool(capacity: 1 << 20)
        let first = pool.buffer(bytes: 1 << 20), second = pool.buffer(bytes: 1 << 20)
        for buffer in [first, second] { buffer.address.storeBytes(of: 7, as: UInt8.self) }
        #expect(first.address != second.address && pool.peak == 1 << 20)
    }
}
