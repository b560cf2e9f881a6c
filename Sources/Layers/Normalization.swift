public import Tensors

/// Brings the rows of a matrix to a common scale.
public protocol Normalization: Sendable {
    func callAsFunction(_ x: Matrix) -> Matrix
    /// `(x + delta, norm(x + delta))`; worth a kernel of its own, so a conformer may fuse it.
    func adding(_ delta: Matrix, to x: Matrix) -> (sum: Matrix, normed: Matrix)
}

/// Root-mean-square normalisation, arXiv 1910.07467.
public struct RMSNorm: Normalization {
    let weight: Matrix
    let epsilon: Float

    public init(_ parameters: Parameters, width: Int, epsilon: Float) throws {
        weight = parameters.backend.makeVector([try parameters.vector("weight", count: width)])
        self.epsilon = epsilon
    }

    public func callAsFunction(_ x: Matrix) -> Matrix {
        let y = x.backend.makeMatrix(rows: x.rows, columns: x.columns)
        x.backend.rmsNorm(x, weight: weight, epsilon: epsilon, into: y)
        return y
    }

    public func adding(_ delta: Matrix, to x: Matrix) -> (sum: Matrix, normed: Matrix) {
        x.backend.addThenRMSNorm(x, delta, weight: weight, epsilon: epsilon)
    }
}
