public import Tensors

/// `y = x Wᵀ + b`. The bias is used exactly when the checkpoint has one.
public struct Linear: Sendable {
    let weight: WeightMatrix
    let bias: Matrix?

    public init(_ parameters: Parameters, inputs: Int, outputs: Int) throws {
        try self.init(stacking: [(parameters, outputs)], inputs: inputs)
    }

    /// Several projections of the same input that cost one pass over `x`; each with its number of outputs. Those
    /// without a bias have one of zeros when others have one.
    public init(stacking projections: [(parameters: Parameters, outputs: Int)], inputs: Int) throws {
        precondition(!projections.isEmpty, "nothing to stack")
        let backend = projections[0].parameters.backend
        weight = try backend.makeWeight(
            projections.map { parameters, outputs in
                parameters.stored(try parameters.matrix("weight", outputs: outputs, inputs: inputs))
            })
        let hasBias = projections.contains { $0.parameters.contains("bias") }
        bias =
            hasBias
            ? backend.makeVector(
                try projections.map { parameters, outputs in
                    guard parameters.contains("bias") else {
                        return HostWeight(
                            [Float](repeating: 0, count: outputs), outputs: 1, inputs: outputs)
                    }
                    return try parameters.vector("bias", count: outputs)
                })
            : nil
    }

    /// A projection whose outputs the checkpoint has in another order: wanted are those of `order`, one range after
    /// the other, which together are all. `order` is not worked out before the checkpoint's shape is known to fit.
    public init(
        _ parameters: Parameters, inputs: Int, outputs: Int, order: @autoclosure () -> [Range<Int>]
    ) throws {
        let matrix = try parameters.matrix("weight", outputs: outputs, inputs: inputs)
        let ranges = order()
        weight = parameters.backend.makeWeight([parameters.stored(matrix.rows(ranges))])
        bias =
            parameters.contains("bias")
            ? parameters.backend.makeVector([try parameters.vector("bias", count: outputs).elements(ranges)])
            : nil
    }

    /// The same with `bias` instead of what the checkpoint has, one number for each output.
    public init(_ parameters: Parameters, inputs: Int, bias values: [Float]) throws {
        let count = values.count
        weight = parameters.backend.makeWeight([
            parameters.stored(try parameters.matrix("weight", outputs: count, inputs: inputs))
        ])
        bias = parameters.backend.makeVector([HostWeight(values, outputs: 1, inputs: count)])
    }

    /// A convolution of patches that do not overlap: `kernel` is how many channels, rows and columns they have.
    public init(_ parameters: Parameters, kernel: [Int], outputs: Int) throws {
        weight = try parameters.backend.makeWeight([
            parameters.matrix("weight", outputs: outputs, kernel: kernel)
        ])
        bias = parameters.contains("bias") ? try parameters.row("bias", count: outputs) : nil
    }

    var outputs: Int { weight.outputs }

    public func callAsFunction(_ x: Matrix) -> Matrix {
        let y = x.backend.makeMatrix(rows: x.rows, columns: weight.outputs)
        x.backend.linear(x, weight, bias: bias, into: y)
        return y
    }
}
