import Dispatch
import Tensors

/// Rounds blocks of 32 weights to fewer bits, in GGUF's layouts.
enum BlockEncoder {
    private typealias Lanes = SIMD8<Float>

    /// Encodes rows of whole blocks, as Q8_0 or Q4_1, on all processors.
    static func encode(
        _ values: UnsafeBufferPointer<Float>, rows: Int, to encoding: Encoding,
        _ target: UnsafeMutableRawBufferPointer
    ) {
        precondition(encoding == .q8_0 || encoding == .q4_1, "no encoder for \(encoding)")
        guard rows > 0, let address = values.baseAddress else { return }
        let (blocks, size) = (values.count / rows / 32, encoding.blockBytes)
        // Unsafe: each task reads and writes rows of its own, and all end before either is used otherwise.
        nonisolated(unsafe) let (start, target) = (address, target)
        DispatchQueue.concurrentPerform(iterations: rows) { row in
            for block in row * blocks..<(row + 1) * blocks {
                let bytes = UnsafeMutableRawBufferPointer(
                    rebasing: target[block * size..<(block + 1) * size])
                if encoding == .q8_0 {
                    encodeQ8(start + 32 * block, into: bytes)
                } else {
                    encodeQ4(start + 32 * block, into: bytes)
                }
            }
        }
    }

    /// Q8_0: a float16 scale, by which the largest weight becomes 127, and 32 signed bytes.
    static func encodeQ8(_ x: UnsafePointer<Float>, into block: UnsafeMutableRawBufferPointer) {
        var largest: Float = 0
        for i in 0..<32 { largest = max(largest, abs(x[i])) }
        let scale = Float16(largest / 127)
        block.storeBytes(of: scale.bitPattern, as: UInt16.self)
        let inverse = scale == 0 ? 0 : 1 / Float(scale)
        for i in 0..<32 {
            block[2 + i] = UInt8(bitPattern: Int8(bounded(x[i] * inverse, -127, 127)))
        }
    }

    /// Q4_1: a float16 scale and minimum, and 32 numbers of 0...15. Of several spacings of the numbers the one whose
    /// least-squares fit is best is taken; an error at a weight counts by the size of the weight.
    static func encodeQ4(_ x: UnsafePointer<Float>, into block: UnsafeMutableRawBufferPointer) {
        let fit = bestFit(x)
        let (scale, minimum) = (Float16(fit.scale), Float16(fit.minimum))
        block.storeBytes(of: scale.bitPattern, as: UInt16.self)
        block.storeBytes(of: minimum.bitPattern, toByteOffset: 2, as: UInt16.self)
        let inverse = scale == 0 ? 0 : 1 / Float(scale)
        for i in 0..<16 {
            let low = bounded((x[i] - Float(minimum)) * inverse, 0, 15)
            let high = bounded((x[i + 16] - Float(minimum)) * inverse, 0, 15)
            block[4 + i] = UInt8(low) | UInt8(high) << 4
        }
    }

    /// The nearest whole number within bounds; what is no number becomes the lower one.
    private static func bounded(_ value: Float, _ lower: Float, _ upper: Float) -> Float {
        let value = value.rounded(.toNearestOrEven)
        return value >= lower ? (value <= upper ? value : upper) : lower
    }

    /// Steps from the least to the largest weight that are tried. Below 15 for weights that were on such a grid
    /// before; above, the outermost weights are moved inwards for the sake of the others.
    private static let steps: [Float] = [
        9, 10, 11, 12, 13, 14, 14.25, 14.5, 14.75, 15, 15.25, 15.5, 15.75, 16, 16.5, 17,
    ]

    private struct Fit {
        var scale: Float
        var minimum: Float
        var error: Float
    }

    private static func bestFit(_ x: UnsafePointer<Float>) -> Fit {
        var (least, largest, squares): (Float, Float, Float) = (x[0], x[0], 0)
        for i in 0..<32 {
            least = min(least, x[i])
            largest = max(largest, x[i])
            squares += x[i] * x[i]
        }
        var best = Fit(scale: 0, minimum: least, error: .infinity)
        let range = largest - least
        guard range > 0, range.isFinite else { return best }
        let sample = Sample(x, least: least, typical: (squares / 32).squareRoot())
        for count in steps {
            if let fit = sample.fit(scale: range / count, minimum: 0), fit.error < best.error { best = fit }
        }
        // The numbers that the fitted grid asks for are others than those it was fitted to.
        for _ in 0..<2 {
            guard let fit = sample.fit(scale: best.scale, minimum: best.minimum), fit.error < best.error
            else { break }
            best = fit
        }
        best.minimum += least
        return best
    }

    /// Weights less the least of them, and how much each counts.
    private struct Sample {
        private var values: (Lanes, Lanes, Lanes, Lanes) = (.zero, .zero, .zero, .zero)
        private var importance: (Lanes, Lanes, Lanes, Lanes) = (.zero, .zero, .zero, .zero)
        private var sumW: Float = 0
        private var sumWX: Float = 0
        private var sumWXX: Float = 0

        init(_ x: UnsafePointer<Float>, least: Float, typical: Float) {
            func lanes(_ start: Int) -> (Lanes, Lanes) {
                var (value, weight) = (Lanes.zero, Lanes.zero)
                for i in 0..<8 {
                    value[i] = x[start + i] - least
                    weight[i] = typical + abs(x[start + i])
                    sumW += weight[i]
                    sumWX += weight[i] * value[i]
                    sumWXX += weight[i] * value[i] * value[i]
                }
                return (value, weight)
            }
            (values.0, importance.0) = lanes(0)
            (values.1, importance.1) = lanes(8)
            (values.2, importance.2) = lanes(16)
            (values.3, importance.3) = lanes(24)
        }

        /// The scale and minimum that fit best when every weight gets the number that the given ones ask for; nil
        /// when they all get the same.
        func fit(scale: Float, minimum: Float) -> Fit? {
            guard scale != 0, (1 / scale).isFinite else { return nil }
            var (wq, wqq, wqx) = (Lanes.zero, Lanes.zero, Lanes.zero)
            func add(_ value: Lanes, _ weight: Lanes) {
                // Adding and taking away 1.5 * 2^23 rounds to the nearest whole number.
                let magic: Float = 12_582_912
                var q = ((value - minimum) * (1 / scale) + magic) - magic
                q.replace(with: 0, where: q .< 0)
                q.replace(with: 15, where: q .> 15)
                let product = weight * q
                wq += product
                wqq += product * q
                wqx += product * value
            }
            add(values.0, importance.0)
            add(values.1, importance.1)
            add(values.2, importance.2)
            add(values.3, importance.3)
            let (sumQ, sumQQ, sumQX) = (wq.sum(), wqq.sum(), wqx.sum())
            let determinant = sumW * sumQQ - sumQ * sumQ
            guard determinant > 0 else { return nil }
            let a = (sumW * sumQX - sumWX * sumQ) / determinant
            let b = (sumQQ * sumWX - sumQ * sumQX) / determinant
            guard a.isFinite, b.isFinite else { return nil }
            return Fit(scale: a, minimum: b, error: sumWXX - a * sumQX - b * sumWX)
        }
    }
}
