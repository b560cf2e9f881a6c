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

    /// What a range does not hold comes from another one, of the buffer's size if that is larger; both are used again.
    @Test(arguments: [1 << 16, 1 << 20, 3 << 20]) func aFullPoolTakesMore(_ second: Int) {
        let pool = BufferPool(rangeBytes: 1 << 20)
        for _ in 0..<3 {
            let buffers = [pool.buffer(bytes: 1 << 20), pool.buffer(bytes: second)]
            for (value, buffer) in buffers.enumerated() {
                let size = value == 0 ? 1 << 20 : second
                buffer.address.initializeMemory(as: UInt8.self, repeating: UInt8(value + 1), count: size)
            }
            for (value, buffer) in buffers.enumerated() {
                let last = (value == 0 ? 1 << 20 : second) - 1
                #expect(buffer.address.load(as: UInt8.self) == UInt8(value + 1))
                #expect(buffer.address.load(fromByteOffset: last, as: UInt8.self) == UInt8(value + 1))
            }
        }
        #expect(pool.peak == (1 << 20) + second, "what came back was taken again")
    }

    /// Many backends fit into one process, each with memory of its own.
    @Test func aThousandBackendsComputeBesideEachOther() {
        let backends = (0..<1000).map { CPUBackend(threads: $0 < 20 ? 2 : 1) }
        let products = backends.enumerated().map { index, backend in
            let (x, weight) = (backend.matrix([[Float(index), 1]]), [[2, 3], [5, 7] as [Float]])
            let packed = backend.makeWeight(
                weight.map { row in
                    HostWeight(
                        outputs: 1, inputs: 2, encoding: .float32,
                        bytes: HostBytes(copying: row.withUnsafeBytes { Array($0) }))
                })
            let y = backend.makeMatrix(rows: 1, columns: 2)
            backend.linear(x, packed, bias: nil, into: y)
            return y
        }
        for (index, product) in products.enumerated() {
            let i = Float(index)
            #expect(backends[index].rows(product) == [[2 * i + 3, 5 * i + 7]])
        }
    }
}
