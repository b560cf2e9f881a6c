import CKernels
import Foundation
import Testing

@Suite struct SamplingTests {
    private static let counts = [1, 7, 8, 9, 63, 64, 65, 100, 128, 1000, 4097]

    private func maxima(_ x: [Float], _ kernels: llm_kernels) -> (all: Float, blocks: [Float]) {
        let blocks = (x.count + Int(LLM_MAXIMA_BLOCK) - 1) / Int(LLM_MAXIMA_BLOCK)
        var maxima = [Float](repeating: .nan, count: blocks)
        return (kernels.block_maxima(x, x.count, &maxima), maxima)
    }

    private func largest(_ wanted: Int, _ x: [Float], _ kernels: llm_kernels) -> [Int] {
        let maxima = maxima(x, kernels).blocks
        var scratch = [Float](repeating: .nan, count: maxima.count)
        var values = [Float](repeating: .nan, count: wanted)
        var columns = [UInt32](repeating: .max, count: wanted)
        let found = x.withUnsafeBufferPointer { x in
            maxima.withUnsafeBufferPointer { maxima in
                scratch.withUnsafeMutableBufferPointer { scratch in
                    values.withUnsafeMutableBufferPointer { values in
                        columns.withUnsafeMutableBufferPointer { columns in
                            var search = llm_largest(
                                x: x.baseAddress!, count: x.count, maxima: maxima.baseAddress!,
                                wanted: wanted,
                                scratch: scratch.baseAddress!, values: values.baseAddress!,
                                columns: columns.baseAddress!)
                            return kernels.find_largest(&search)
                        }
                    }
                }
            }
        }
        #expect(columns.prefix(found).map { x[Int($0)] } == Array(values.prefix(found)))
        return columns.prefix(found).map { Int($0) }
    }

    @Test(arguments: counts, KernelSet.available)
    func maximaOfBlocks(_ count: Int, _ set: KernelSet) {
        var random = Random(count)
        var x = random.floats(count, in: -9...9)
        for _ in 0..<2 {
            let actual = maxima(x, set.kernels)
            let expected = stride(from: 0, to: count, by: Int(LLM_MAXIMA_BLOCK)).map { start in
                x[start..<min(start + Int(LLM_MAXIMA_BLOCK), count)].filter { !$0.isNaN }.max() ?? -.infinity
            }
            #expect(actual.blocks == expected && actual.all == expected.max())
            for index in stride(from: 0, to: count, by: 3) { x[index] = .nan }
        }
        #expect(maxima([.nan], set.kernels).all == -.infinity)
        #expect(maxima([], set.kernels).all == -.infinity)
    }

    @Test(arguments: counts, KernelSet.available)
    func sumsOfExponentials(_ count: Int, _ set: KernelSet) {
        var random = Random(count)
        var x = random.floats(count, in: -30...9)
        for scale: Float in [1, 0.3, 4, 1000] {
            let expected = x.doubles.reduce(0.0) { $0 + exp(($1 - 9) * Double(scale)) }
            let actual = set.kernels.sum_exp(x, count, 9, scale)
            #expect(abs(Double(actual) - expected) < 1e-6 * expected + 1e-30)
            #expect([actual].bits == [scalar.sum_exp(x, count, 9, scale)].bits)
        }
        x[count / 2] = -.infinity
        #expect(set.kernels.sum_exp(x, count, 9, 1) == scalar.sum_exp(x, count, 9, 1))
        x[count / 2] = .nan
        #expect(set.kernels.sum_exp(x, count, 9, 1).isNaN)
    }

    @Test(arguments: counts, KernelSet.available)
    func collectsWhatReaches(_ count: Int, _ set: KernelSet) {
        var random = Random(count)
        var x = random.floats(count, in: -30...9)
        if count > 8 { (x[3], x[7]) = (-.infinity, .nan) }
        for threshold: Float in [-Float.infinity, -20, 0, 8.9, x[count / 2], 10] {
            var indices = [UInt32](repeating: .max, count: count)
            let found = set.kernels.collect(x, count, maxima(x, set.kernels).blocks, threshold, &indices)
            #expect(indices.prefix(found).map { Int($0) } == x.indices.filter { x[$0] >= threshold })
        }
    }

    @Test(arguments: counts, KernelSet.available)
    func largestInOrder(_ count: Int, _ set: KernelSet) {
        var random = Random(count)
        // Few values, many of them equal; none; and a few that are not numbers.
        for kind in 0..<4 {
            var x = random.floats(count, in: -9...9)
            if kind == 1 { x = x.map { $0.rounded() } }
            if kind == 2 { x = x.map { _ in 4 } }
            if kind == 3 { for index in stride(from: 0, to: count, by: 5) { x[index] = .nan } }
            let expected = x.indices.filter { !x[$0].isNaN }
                .sorted { x[$0] > x[$1] || (x[$0] == x[$1] && $0 < $1) }
            for wanted in [0, 1, 2, 5, 50, count / 2, count] where wanted <= count {
                #expect(
                    largest(wanted, x, set.kernels) == Array(expected.prefix(wanted)), "\(wanted) of \(count)"
                )
            }
        }
        #expect(largest(2, [-.infinity, -.infinity, 1], set.kernels) == [2, 0])
    }
}
