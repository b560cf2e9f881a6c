import CKernels
import Testing

@Suite struct MatmulTests {
    @Test(arguments: Format.allCases, KernelSet.available)
    func isCloseToTheExactProduct(_ format: Format, _ set: KernelSet) {
        for inputs in format.awkwardInputs {
            let product = Product(format, inputs: inputs, outputs: 5, rows: 3, bias: true, seed: inputs)
            let weights = dequantized(format, product.weights).doubles
            let actual = product.result(set.kernels)
            for row in 0..<product.rows {
                let x = product.x[row * inputs..<(row + 1) * inputs].map(Double.init)
                for output in 0..<product.outputs {
                    let w = weights[output * inputs..<(output + 1) * inputs]
                    let terms = zip(x, w).map { $0 * $1 }
                    let expected = terms.reduce(Double(product.bias?[output] ?? 0), +)
                    // Half a step of int8 activations per input; float32 rounding otherwise.
                    let steps = zip(product.halfSteps(row: row), w).reduce(0.0) { $0 + $1.0 * abs($1.1) }
                    let rounding = 1e-5 * (terms.map(abs).reduce(0, +) + w.map(abs).reduce(0, +) + 1)
                    let error = abs(Double(actual[row * product.outputs + output]) - expected)
                    #expect(error <= steps + rounding, "\(inputs) inputs, row \(row), output \(output)")
                }
            }
        }
    }

    /// With integer activations whose largest is 127, and scales of 1, all sums are integers: nothing rounds.
    @Test(arguments: Format.blocked, KernelSet.available)
    func integersMultiplyExactly(_ format: Format, _ set: KernelSet) {
        for inputs in format.awkwardInputs {
            var random = Random(inputs)
            var product = Product(format, inputs: inputs, outputs: 6, rows: 6, seed: 1)
            product.weights = random.weights(format, inputs * 6) { _ in 1 }
            product.x = (0..<inputs * 6).map { index -> Float in
                let largest: Float = index % 64 == 5 ? 127 : -127
                return index % 32 == 5 ? largest : Float(Int.random(in: -3...3, using: &random))
            }
            let weights = dequantized(format, product.weights).doubles
            let expected = (0..<36).map { index in
                (0..<inputs).reduce(0.0) { sum, i in
                    sum + Double(product.x[index / 6 * inputs + i]) * weights[index % 6 * inputs + i]
                }
            }
            #expect(product.result(set.kernels).doubles == expected, "\(inputs) inputs")
        }
    }

    /// The one promise that batching rests on. Each row alone, by the scalar kernels, is the measure.
    @Test(arguments: Format.allCases, KernelSet.available)
    func rowsRangesAndInstructionsChangeNoBit(_ format: Format, _ set: KernelSet) {
        for inputs in format.awkwardInputs {
            let bias = inputs % 3 == 1
            let product = Product(format, inputs: inputs, outputs: 37, rows: 31, bias: bias, seed: 7)
            let alone = (0..<31).map { product.result(scalar, rows: $0..<$0 + 1) }
            for rows in 1...31 {
                let expected = alone[..<rows].flatMap { $0 }.bits
                let splits = [[], [rows % 4], [1, 2]][rows % 3]
                let actual = product.result(set.kernels, rows: 0..<rows, splits: splits).bits
                #expect(actual == expected, "\(inputs) inputs, \(rows) rows, split at \(splits)")
            }
            #expect(product.result(set.kernels, rows: 4..<19).bits == alone[4..<19].flatMap { $0 }.bits)
        }
    }

    /// So many panels and rows that every way of taking them together occurs, and rows beyond what the cache
    /// holds at a time.
    @Test(arguments: Format.allCases, KernelSet.available)
    func manyRowsAndPanels(_ format: Format, _ set: KernelSet) {
        let inputs = format.blockElements == 256 ? 512 : 64
        for (outputs, rows) in [(4, 71), (300, 2), (300, 1), (33, 800)] {
            let whole = Product(format, inputs: inputs, outputs: outputs, rows: rows, bias: true, seed: 3)
            #expect(whole.result(set.kernels).bits == whole.result(scalar).bits, "\(outputs) x \(rows)")
        }
    }

    @Test(arguments: KernelSet.available)
    func writesOnlyItsColumns(_ set: KernelSet) {
        let product = Product(.q4_0, inputs: 64, outputs: 39, rows: 5, seed: 2)
        let weights = Memory(product.packed(set.kernels))
        let x = Memory(product.activations(set.kernels, rows: 0..<5))
        var y = [Float](repeating: -1, count: 5 * 60)
        y.withUnsafeMutableBufferPointer { y in
            var call = llm_matmul(
                encoding: LLM_Q4_0, weights: weights.pointer, inputs: 64, outputs: 39, first_panel: 1,
                last_panel: 3, x: x.pointer, x_stride: 64, rows: 5, bias: nil, y: y.baseAddress! + 10,
                y_stride: 60)
            set.kernels.matmul(&call)
        }
        withExtendedLifetime((weights, x)) {}
        let whole = product.result(set.kernels)
        for (index, value) in y.enumerated() {
            let output = index % 60 - 10
            #expect(value == ((16..<39).contains(output) ? whole[index / 60 * 39 + output] : -1))
        }
    }

    /// The packed form holds the numbers of the rows: a product with unit vectors gives them back.
    @Test(arguments: Format.plain, KernelSet.available)
    func packingKeepsEveryNumber(_ format: Format, _ set: KernelSet) {
        var product = Product(format, inputs: 19, outputs: 35, rows: 19, seed: 8)
        product.x = (0..<19 * 19).map { $0 % 20 == 0 ? 1 : 0 }
        let weights = dequantized(format, product.weights), actual = product.result(set.kernels)
        for index in weights.indices {
            #expect(actual[index % 19 * 35 + index / 19] == weights[index])
        }
    }

    @Test(arguments: Format.blocked, KernelSet.available)
    func strangeActivationsStayInTheirRow(_ format: Format, _ set: KernelSet) {
        let inputs = format.blockElements == 32 ? 96 : 512
        let strange: [Float] = [
            .nan, -.nan, .infinity, -.infinity, 1e30, .leastNonzeroMagnitude, 1e-31, -0.0,
        ]
        let usual = Product(format, inputs: inputs, outputs: 5, rows: strange.count + 1, seed: 5)
        var product = usual
        for (row, value) in strange.enumerated() { product.x[row * inputs + 40] = value }
        let actual = product.result(set.kernels)
        #expect(actual.bits == product.result(scalar).bits)
        for row in 0..<4 { #expect(actual[row * 5..<row * 5 + 5].nans == 5) }
        for row in 4..<8 { #expect(actual[row * 5..<row * 5 + 5].nans == 0) }
        #expect(actual[40...].bits == usual.result(scalar)[40...].bits)
    }

    @Test(arguments: KernelSet.available)
    func quantizedRowsAreTheSame(_ set: KernelSet) {
        var random = Random(11)
        for (inputs, shared) in [
            (32, 32), (64, 32), (224, 32), (256, 32), (256, 256), (288, 32), (1024, 256),
        ] {
            var x = random.floats(3 * inputs, in: -9...9)
            // Halves between steps, zero blocks and blocks of one magnitude.
            for i in 0..<32 { x[i] = i == 0 ? 127 : Float(i) + 0.5 }
            for i in inputs..<inputs + 32 { x[i] = 0 }
            for i in 2 * inputs..<2 * inputs + 32 { x[i] = i % 2 == 0 ? 0.1 : -0.1 }
            for rows in [1, 3] {
                var expected = [UInt8](repeating: 1, count: scalar.quantized_bytes(inputs, rows))
                var actual = [UInt8](repeating: 2, count: expected.count)
                scalar.quantize_rows(x, inputs, rows, inputs, shared, 0, 1, &expected)
                set.kernels.quantize_rows(x, inputs, rows, inputs, shared, 0, 1, &actual)
                #expect(actual == expected, "\(inputs) inputs")
                #expect(actual[1] == 2 && actual[2] == 2 && actual[3] == 4, "1.5, 2.5, 3.5 round to even")
                #expect(actual[0] == 127)
            }
        }
    }
}
