public import Tensors

/// Brings the rows of a matrix to a common scale.
public protocol Normalization: Sendable {
    func callAsFunction(_ x: Matrix) -> Matrix
    /// `(x + delta, norm(x + delta))`; worth a kernel of its own, so a conformer may fuse it.
    func adding(_ delta: Matrix, to x: Matrix) -> (sum: Matrix, normed: Matrix)
}

extension Normalization {
    public func adding(_ delta: Matrix, to x: Matrix) -> (sum: Matrix, normed: Matrix) {
        let sum = x + delta
        return (sum, self(sum))
    }
}

/// Leaves rows as they are, where a model has no norm.
public struct NoNorm: Normalization {
    public init() {}

    public func callAsFunction(_ x: Matrix) -> Matrix { x }
}

/// Root-mean-square normalisation, arXiv 1910.07467.
public struct RMSNorm: Normalization {
    let weight: Matrix
    let epsilon: Float

    /// Gemma's checkpoints store what is added to an `offset` of 1.
    public init(_ parameters: Parameters, width: Int, epsilon: Float, offset: Float = 0) throws {
        weight = try parameters.row("weight", count: width, offset: offset)
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

/// Layer normalisation, arXiv 1607.06450. The bias is used exactly when the checkpoint has one.
public struct LayerNorm: Normalization {
    let weight: Matrix
    let bias: Matrix?
    let epsilon: Float

    public init(_ parameters: Parameters, width: Int, epsilon: Float) throws {
        weight = try parameters.row("weight", count: width)
        bias = parameters.contains("bias") ? try parameters.row("bias", count: width) : nil
        self.epsilon = epsilon
    }

    public func callAsFunction(_ x: Matrix) -> Matrix {
        let y = x.backend.makeMatrix(rows: x.rows, columns: x.columns)
        x.backend.layerNorm(x, weight: weight, bias: bias, epsilon: epsilon, into: y)
        return y
    }
}

/// A normalisation of each head for itself, as some models do with queries and keys (arXiv 2010.04245).
public struct HeadNorm: Sendable {
    let statistic: HeadStatistic
    private(set) var weight: Matrix
    let epsilon: Float
    private var isJoint = false

    /// All heads share the vector `weight`.
    public init(
        _ parameters: Parameters, width: Int, by statistic: HeadStatistic, epsilon: Float, offset: Float = 0
    ) throws {
        (self.statistic, self.epsilon) = (statistic, epsilon)
        weight = try parameters.row("weight", count: width, offset: offset)
    }

    /// Each head has its own row of the matrix `weight`.
    public init(
        _ parameters: Parameters, heads: Int, width: Int, by statistic: HeadStatistic, epsilon: Float
    ) throws {
        (self.statistic, self.epsilon) = (statistic, epsilon)
        weight = parameters.backend.makeVector(
            [try parameters.matrix("weight", outputs: heads, inputs: width)])
    }

    /// All heads together are normalised as one, by a vector as wide as they are.
    public init(joint parameters: Parameters, width: Int, by statistic: HeadStatistic, epsilon: Float) throws
    {
        try self.init(parameters, width: width, by: statistic, epsilon: epsilon)
        isJoint = true
    }

    /// Each head has a vector `weight` of its own.
    public init(
        heads: [Parameters], width: Int, by statistic: HeadStatistic, epsilon: Float
    ) throws {
        precondition(!heads.isEmpty, "no heads")
        (self.statistic, self.epsilon) = (statistic, epsilon)
        weight = heads[0].backend.makeVector(try heads.map { try $0.vector("weight", count: width) })
    }

    /// The same for some of `count` heads of `width` columns.
    func narrowed(to heads: Range<Int>, of count: Int, width: Int) -> HeadNorm {
        // Others share the weights of one.
        guard heads.count < count, weight.columns == count * width else { return self }
        precondition(!isJoint, "heads that are normalised together are not shared out")
        var norm = self
        norm.weight = weight.columns(heads.lowerBound * width..<heads.upperBound * width)
        return norm
    }

    /// Normalises the heads of `x` in place.
    public func apply(to x: Matrix, heads: Int) {
        x.backend.normalizeHeads(
            x, heads: isJoint ? 1 : heads, by: statistic, weight: weight, epsilon: epsilon)
    }
}
