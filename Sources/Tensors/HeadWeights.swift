/// The weights of heads, one for each, all of one shape.
public struct HeadWeights: Sendable {
    public let weights: [WeightMatrix]
    public let inputs: Int
    public let outputs: Int
    /// What the backend that has the weights made of them; nil for one that needs nothing more.
    public let prepared: (any Sendable)?

    /// `weights`, of which there are some, were made by `backend`.
    public init(_ weights: [WeightMatrix], on backend: any Backend) {
        (inputs, outputs) = (weights[0].inputs, weights[0].outputs)
        precondition(
            weights.allSatisfy { [inputs, outputs] in $0.inputs == inputs && $0.outputs == outputs },
            "heads of different shapes")
        self.weights = weights
        prepared = backend.prepare(heads: weights)
    }

    /// How many columns of `x` and of `y` each head has, when those of `x` are multiplied and `y` gets the products.
    public func steps(from x: Matrix, to y: Matrix) -> (x: Int, y: Int) {
        let count = weights.count
        precondition(
            x.rows == y.rows && x.columns.isMultiple(of: count) && y.columns.isMultiple(of: count)
                && x.columns >= count * inputs && y.columns >= count * outputs,
            "\(x.columns) and \(y.columns) columns of \(count) heads of \(inputs)x\(outputs)")
        return (x.columns / count, y.columns / count)
    }
}
