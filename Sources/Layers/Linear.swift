public import Tensors

/// `y = x Wᵀ + b`. The bias is used exactly when the checkpoint has one.
public struct Linear: Sendable {
    let weight: WeightMatrix
    let bias: Matrix?

    public init(_ parameters: Parameters, inputs: Int, outputs: Int) throws {
        try self.init(stacking: [(parameters, outputs)], inputs: inputs)
    }

    /// Several projections of the same input that cost one pass over `x`; each with its number of outputs.
    public init(stacking projections: [(parameters: Parameters, outputs: Int)], inputs: Int) throws {
        precondition(!projections.isEmpty, "nothing to stack")
        let backend = projections[0].parameters.backend
        weight = try backend.makeWeight(
            projections.map { try $0.parameters.matrix("weight", outputs: $0.outputs, inputs: inputs) })
        let hasBias = projections.contains { $0.parameters.contains("bias") }
        bias =
            hasBias
            ? backend.makeVector(try projections.map { try $0.parameters.vector("bias", count: $0.outputs) })
            : nil
    }

    public func callAsFunction(_ x: Matrix) -> Matrix {
        let y = x.backend.makeMatrix(rows: x.rows, columns: weight.outputs)
        x.backend.linear(x, weight, bias: bias, into: y)
        return y
    }
}
