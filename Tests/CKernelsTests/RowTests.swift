import CKernels
import Foundation
import Testing

private let widths = [1, 3, 7, 8, 9, 16, 33, 64, 100, 257]

@Suite struct NormTests {
    struct Call {
        var x: [Float]
        var columns: Int
        var weight: [Float]?
        var bias: [Float]?

        var rows: Int { x.count / columns }

        init(columns: Int, affine: Bool, seed: Int) {
            var random = Random(seed)
            self.columns = columns
            x = random.floats(4 * columns, in: -3...5)
            weight = affine ? random.floats(columns) : nil
            bias = affine ? random.floats(columns) : nil
        }

        func run(_ norm: (UnsafePointer<llm_norm>) -> Void) -> [Float] {
            var y = [Float](repeating: .nan, count: x.count)
            x.withUnsafeBufferPointer { x in
                y.withUnsafeMutableBufferPointer { y in
                    withOptionalPointer(weight) { weight in
                        withOptionalPointer(bias) { bias in
                            var call = llm_norm(
                                x: x.baseAddress!, x_stride: columns, rows: rows, columns: columns,
                                weight: weight, bias: bias, epsilon: 1e-5, y: y.baseAddress!,
                                y_stride: columns)
                            norm(&call)
                        }
                    }
                }
            }
            return y
        }

        /// The definition, in double precision; without a mean for the root-mean-square norm.
        func expected(centred: Bool) -> [Double] {
            (0..<rows).flatMap { row in
                let x = x[row * columns..<(row + 1) * columns].doubles
                let mean = centred ? x.reduce(0.0, +) / Double(columns) : 0
                let variance = x.reduce(0.0) { $0 + ($1 - mean) * ($1 - mean) } / Double(columns)
                return x.indices.map { index -> Double in
                    let normed = (x[index] - mean) / (variance + 1e-5).squareRoot()
                    let shift: Float = centred ? bias?[index] ?? 0 : 0
                    return normed * Double(weight?[index] ?? 1) + Double(shift)
                }
            }
        }
    }

    @Test(arguments: widths, KernelSet.available)
    func rms(_ columns: Int, _ set: KernelSet) {
        for affine in [false, true] {
            let call = Call(columns: columns, affine: affine, seed: columns)
            let actual = call.run(set.kernels.rms_norm)
            #expect(relativeError(actual, call.expected(centred: false)) < 2e-6)
            #expect(actual.bits == call.run(scalar.rms_norm).bits)
        }
    }

    @Test(arguments: widths.dropFirst(), KernelSet.available)
    func layer(_ columns: Int, _ set: KernelSet) {
        for affine in [false, true] {
            let call = Call(columns: columns, affine: affine, seed: columns)
            let actual = call.run(set.kernels.layer_norm)
            #expect(relativeError(actual, call.expected(centred: true)) < 1e-5)
            #expect(actual.bits == call.run(scalar.layer_norm).bits)
        }
    }

    @Test(arguments: widths, KernelSet.available)
    func addThenNormIsBoth(_ columns: Int, _ set: KernelSet) {
        var random = Random(columns)
        let call = Call(columns: columns, affine: true, seed: columns)
        let delta = random.floats(call.x.count)
        var sum = [Float](repeating: .nan, count: delta.count), separate = call
        set.kernels.add(call.x, columns, delta, columns, 4, columns, &separate.x, columns)
        #expect(separate.x == zip(call.x, delta).map { $0 + $1 })
        let fused = call.run { set.kernels.add_rms_norm($0, delta, columns, &sum, columns) }
        #expect(sum == separate.x)
        #expect(fused.bits == separate.run(scalar.rms_norm).bits)
    }
}

@Suite struct ActivationTests {
    private static let functions = [LLM_SILU, LLM_GELU, LLM_GELU_TANH, LLM_RELU].map(\.rawValue)

    private func exact(_ function: llm_function, _ x: Double) -> Double {
        switch function {
        case LLM_SILU: x / (1 + exp(-x))
        case LLM_GELU: x / 2 * erfc(-x / 2.0.squareRoot())
        case LLM_GELU_TANH: x / 2 * (1 + tanh(sqrt(2 / Double.pi) * (x + 0.044715 * pow(x, 3))))
        default: max(x, 0)
        }
    }

    @Test(arguments: functions, KernelSet.available)
    func isCloseToTheDefinition(_ raw: UInt32, _ set: KernelSet) {
        let function = llm_function(raw), kernels = set.kernels
        let x = (0..<40_003).map { Float($0 - 20_000) / 1000 }
        var y = x
        kernels.activate(function, x, x.count, 1, x.count, &y, x.count)
        for (x, y) in zip(x, y) {
            let expected = exact(function, Double(x))
            // The forms with 1 + erf lose all relative accuracy where they vanish.
            let error = abs(Double(y) - expected)
            #expect(error <= 4e-7 * max(1, abs(expected)), "\(x): \(y) instead of \(expected)")
        }
    }

    /// Far below zero silu is x exp(x), so its relative error is that of the exponential.
    @Test(arguments: KernelSet.available)
    func exponentialIsAccurate(_ set: KernelSet) {
        let x = (0..<30_000).map { -20 - Float($0) * 0.0021 }
        var y = x
        set.kernels.activate(LLM_SILU, x, x.count, 1, x.count, &y, x.count)
        for (x, y) in zip(x, y) {
            let expected = exact(LLM_SILU, Double(x))
            #expect(abs(Double(y) - expected) < 4e-7 * abs(expected))
        }
    }

    @Test(arguments: functions, KernelSet.available)
    func twinsAgree(_ raw: UInt32, _ set: KernelSet) {
        let function = llm_function(raw)
        var random = Random(1)
        for columns in widths {
            let gate = random.floats(3 * columns, in: -100...100), up = random.floats(3 * columns)
            var plain = gate, expected = gate, actual = gate
            scalar.activate(function, gate, columns, 3, columns, &plain, columns)
            scalar.gated(function, gate, columns, up, columns, 3, columns, &expected, columns)
            set.kernels.gated(function, gate, columns, up, columns, 3, columns, &actual, columns)
            #expect(actual.bits == expected.bits)
            #expect(expected.bits == zip(plain, up).map { $0 * $1 }.bits)
            set.kernels.activate(function, gate, columns, 3, columns, &actual, columns)
            #expect(actual.bits == plain.bits)
        }
    }

    @Test(arguments: functions, KernelSet.available)
    func strangeNumbersAgree(_ raw: UInt32, _ set: KernelSet) {
        let x: [Float] = [
            .nan, .infinity, -.infinity, 0, -0.0, .greatestFiniteMagnitude, -.greatestFiniteMagnitude,
            .leastNonzeroMagnitude, -.leastNormalMagnitude / 4, 88, -88, 104, -104, 1e10, -1e10,
        ]
        var expected = x, actual = x
        scalar.activate(llm_function(raw), x, x.count, 1, x.count, &expected, x.count)
        set.kernels.activate(llm_function(raw), x, x.count, 1, x.count, &actual, x.count)
        #expect(actual.bits == expected.bits)
        #expect(actual[0].isNaN && actual[1] == .infinity && actual[3] == 0)
        #expect(actual[5] == .greatestFiniteMagnitude && actual[13] == 1e10 && actual[14] == 0)
    }
}

@Suite struct RotationTests {
    @Test(arguments: [1, 2, 3, 4, 8, 13, 16, 32], KernelSet.available)
    func rotates(_ pairs: Int, _ set: KernelSet) {
        for neighbours in [false, true] {
            var random = Random(pairs)
            let heads = 3, first = 5, width = first + 2 * pairs + 2, rows = 2
            let x = random.floats(rows * heads * width), angles = random.floats(rows * pairs, in: -9...9)
            let cosines = angles.map(cos), sines = angles.map(sin)
            func run(_ kernels: llm_kernels) -> [Float] {
                var y = x
                y.withUnsafeMutableBufferPointer { y in
                    cosines.withUnsafeBufferPointer { cosines in
                        sines.withUnsafeBufferPointer { sines in
                            var call = llm_rotation(
                                x: y.baseAddress!, x_stride: heads * width, rows: rows, heads: heads,
                                head_width: width, first_column: first, pairs: pairs, neighbours: neighbours,
                                cosines: cosines.baseAddress!, sines: sines.baseAddress!, table_stride: pairs)
                            kernels.rotate(&call)
                        }
                    }
                }
                return y
            }
            var expected = x.doubles
            for row in 0..<rows {
                for start in (0..<heads).map({ row * heads * width + $0 * width + first }) {
                    for i in 0..<pairs {
                        let a = neighbours ? start + 2 * i : start + i
                        let b = neighbours ? a + 1 : a + pairs
                        let (c, s) = (Double(cosines[row * pairs + i]), Double(sines[row * pairs + i]))
                        expected[a] = Double(x[a]) * c - Double(x[b]) * s
                        expected[b] = Double(x[b]) * c + Double(x[a]) * s
                    }
                }
            }
            let actual = run(set.kernels)
            #expect(relativeError(actual, expected) < 2e-7)
            #expect(actual.bits == run(scalar).bits)
            for index in x.indices where !(first..<first + 2 * pairs).contains(index % width) {
                #expect(actual[index] == x[index])
            }
        }
    }
}

@Suite struct SpreadTests {
    /// Products stay what they are, a second turn undoes the first, and a large column is shared out.
    @Test(arguments: [1, 2, 5, 12, 64, 80, 128, 576], KernelSet.available)
    func isOrthogonal(_ width: Int, _ set: KernelSet) {
        var random = Random(width)
        let heads = 2, stride = heads * width + 3
        func spread(_ x: [Float]) -> [Float] {
            var y = x
            y.withUnsafeMutableBufferPointer {
                set.kernels.spread_heads($0.baseAddress!, stride, 2, heads, width)
            }
            return y
        }
        var x = random.floats(2 * stride)
        x[0] = 100
        let y = spread(x)
        for head in [0..<width, width..<2 * width, stride..<stride + width] {
            let before = zip(x[head], x[..<width]).reduce(0.0) { $0 + Double($1.0) * Double($1.1) }
            let after = zip(y[head], y[..<width]).reduce(0.0) { $0 + Double($1.0) * Double($1.1) }
            #expect(abs(before - after) < 2e-3)
        }
        #expect(relativeError(spread(y), x.doubles) < 1e-6)
        #expect(y[(2 * width)..<stride] == x[(2 * width)..<stride], "what lies between rows is not touched")
        if width == 64 { #expect(y[..<64].map(abs).max()! < 15) }
    }

    /// Passes that all instruction sets share do what they say, and nothing beside their columns.
    @Test func movesRows() {
        var random = Random(11)
        for columns in [1, 7, 8, 33] {
            let (stride, x) = (columns + 2, random.floats(4 * (columns + 2)))
            func element(_ y: [Float], _ row: Int, _ column: Int) -> Float { y[row * stride + column] }
            func check(_ y: [Float], _ expected: (_ row: Int, _ column: Int) -> Float) {
                for row in 0..<4 {
                    for column in 0..<stride {
                        let right = column < columns ? expected(row, column) : element(x, row, column)
                        #expect(element(y, row, column) == right, "\(row), \(column) of \(columns)")
                    }
                }
            }
            var y = x
            scalar.scale_rows(&y, stride, 4, columns, [2, -1, 0, 0.5])
            check(y) { element(x, $0, $1) * [2, -1, 0, 0.5][$0] }
            y = x
            scalar.clamp_rows(&y, stride, 4, columns, -0.25, 0.5)
            check(y) { min(max(element(x, $0, $1), -0.25), 0.5) }
            y = x
            scalar.clear_rows(&y, stride, 4, columns)
            check(y) { _, _ in 0 }
            y = x
            scalar.gather_rows(x, stride, [3, 3, 0, 1], 4, columns, &y, stride)
            check(y) { element(x, [3, 3, 0, 1][$0], $1) }
            y = x
            scalar.add_scaled_rows(x, stride, [2, 3, 4], [1, 0, 1], 3, columns, &y, stride)
            check(y) { row, column in
                let value = element(x, row, column)
                switch row {
                case 0: return value + 3 * element(x, 1, column)
                case 1: return value + 2 * element(x, 0, column) + 4 * element(x, 2, column)
                default: return value
                }
            }
            var capped = x
            scalar.soft_cap(&capped, capped.count, 2)
            for (mine, value) in zip(capped, x) { #expect(abs(mine - 2 * tanh(value / 2)) < 1e-6) }
        }
    }
}
