import CPUBackend
import Tensors
import Testing

@testable import Weights

/// Rounding weights to blocks keeps as much of them as the bits allow.
@Suite struct BlockEncoderTests {
    private struct Generator: RandomNumberGenerator {
        var state: UInt64
        mutating func next() -> UInt64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return (state ^ state >> 29) &* 0xbf58_476d_1ce4_e5b9
        }
    }

    private func half(_ bytes: [UInt8], _ at: Int) -> Float {
        Float(Float16(bitPattern: UInt16(bytes[at]) | UInt16(bytes[at + 1]) << 8))
    }

    /// What a block's bytes stand for, by the definition of its encoding.
    private func decoded(_ block: [UInt8]) -> [Float] {
        (0..<32).map { i in
            if block.count == 34 { return half(block, 0) * Float(Int8(bitPattern: block[2 + i])) }
            let byte = block[4 + i % 16]
            return half(block, 0) * Float(i < 16 ? byte & 15 : byte >> 4) + half(block, 2)
        }
    }

    private func rounded(_ x: [Float], _ encoding: Encoding) -> [Float] {
        var bytes = [UInt8](repeating: 0, count: encoding.blockBytes)
        x.withUnsafeBufferPointer { values in
            bytes.withUnsafeMutableBytes { BlockEncoder.encode(values, rows: 1, to: encoding, $0) }
        }
        return decoded(bytes)
    }

    private func samples(_ count: Int) -> [[Float]] {
        var random = Generator(state: 3)
        return (0..<count).map { index in
            let scale = Float.random(in: 0.001...2, using: &random)
            let shift = Float.random(in: -1...1, using: &random) * (index % 3 == 0 ? 1 : 0)
            return (0..<32).map { _ in
                // Sums of uniform numbers are nearly normal.
                scale * ((0..<4).reduce(shift) { sum, _ in sum + Float.random(in: -1...1, using: &random) })
            }
        }
    }

    @Test func eightBitsAreWithinHalfAStep() {
        for x in samples(200) {
            let step = (x.map(abs).max() ?? 0) / 127
            for (found, expected) in zip(rounded(x, .q8_0), x) {
                // The scale is rounded to float16, which moves the largest by another eighth.
                #expect(abs(found - expected) <= 0.58 * step)
            }
        }
    }

    /// The search never does worse, by its own measure, than dividing the range in fifteen; over all it does better.
    @Test func fourBitsBeatPlainRounding() {
        var (searched, plain): (Float, Float) = (0, 0)
        for x in samples(400) {
            let (least, largest) = (x.min() ?? 0, x.max() ?? 0)
            let step = (largest - least) / 15
            let typical = (x.reduce(0) { $0 + $1 * $1 } / 32).squareRoot()
            func error(_ y: [Float]) -> Float {
                zip(x, y).reduce(0) { $0 + (typical + abs($1.0)) * ($1.1 - $1.0) * ($1.1 - $1.0) }
            }
            let ours = error(rounded(x, .q4_1))
            let simple = error(x.map { least + ((($0 - least) / step).rounded()) * step })
            #expect(ours <= 1.01 * simple)
            searched += ours
            plain += simple
        }
        #expect(searched < 0.9 * plain)
    }

    /// Weights that lie on a grid of sixteen numbers already stay where they are.
    @Test(arguments: [9, 12, 15]) func gridsAreFound(_ count: Int) {
        let x = (0..<32).map { Float(($0 * 7) % (count + 1)) * 0.125 - 0.5 }
        #expect(zip(rounded(x, .q4_1), x).allSatisfy { abs($0 - $1) < 1e-3 })
    }

    @Test(arguments: [Encoding.q8_0, .q4_1]) func strangeBlocksDoNotTrap(_ encoding: Encoding) {
        #expect(rounded(Array(repeating: 0, count: 32), encoding).allSatisfy { $0 == 0 })
        let same = rounded(Array(repeating: 0.25, count: 32), encoding)
        #expect(same.allSatisfy { abs($0 - 0.25) < 0.001 })
        for value in [Float.nan, .infinity, -.infinity, .greatestFiniteMagnitude, .leastNonzeroMagnitude] {
            var x = (0..<32).map { Float($0) }
            x[5] = value
            _ = rounded(x, encoding)
            _ = rounded(Array(repeating: value, count: 32), encoding)
        }
    }

    @Test func whatIsNotRoundedStays() {
        let backend = CPUBackend(threads: 1)
        func encoding(_ format: WeightFormat, _ path: String, inputs: Int = 64) -> Encoding {
            let values = [Float](repeating: 0.5, count: 3 * inputs)
            let weight = HostWeight(
                outputs: 3, inputs: inputs, encoding: .float32,
                bytes: values.withUnsafeBytes { HostBytes(copying: $0) })
            return WeightStorage(format).quantized(weight, at: path, backend).encoding
        }
        #expect(encoding(.int4, "model.layers.0.mlp.up_proj") == .q4_1)
        #expect(encoding(.int8, "model.layers.0.mlp.up_proj") == .q8_0)
        #expect(encoding(.int4, "lm_head") == .q8_0)
        #expect(encoding(.int4, "model.layers.0.mlp.gate") == .float32, "a router")
        #expect(encoding(.int4, "model.layers.0.mlp.up_proj", inputs: 48) == .float32)
    }
}
