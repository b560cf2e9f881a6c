public import Tensors

/// The part of a layer in which tokens look at each other.
public protocol Attention: Sendable {
    func callAsFunction(_ x: Matrix, _ pass: ForwardPass) -> Matrix
}

/// The heads of one attention layer.
public struct Heads: Sendable, Equatable {
    public let query: Int
    public let keyValue: Int
    /// Columns of one head.
    public let width: Int

    public init(query: Int, keyValue: Int, width: Int) {
        (self.query, self.keyValue, self.width) = (query, keyValue, width)
    }

    public var queryWidth: Int { query * width }
    public var keyValueWidth: Int { keyValue * width }
}

/// Multi-head, grouped-query and multi-query attention with rotary positions; they differ only in `heads`.
public struct GroupedQueryAttention: Attention {
    let qkv: Linear
    let output: Linear
    let heads: Heads
    let rotation: Rotation
    let shape: AttentionShape
    let layer: Int

    /// `qkv` stacks the three projections in this order.
    public init(
        qkv: Linear, output: Linear, heads: Heads, rotation: Rotation, reach: AttentionShape.Reach, layer: Int
    ) {
        (self.qkv, self.output, self.heads, self.rotation) = (qkv, output, heads, rotation)
        self.layer = layer
        shape = AttentionShape(
            queryHeads: heads.query, keyValueHeads: heads.keyValue, keyWidth: heads.width,
            valueWidth: heads.width, scale: 1 / Float(heads.width).squareRoot(), reach: reach)
    }

    public func callAsFunction(_ x: Matrix, _ pass: ForwardPass) -> Matrix {
        let parts = qkv(x).split(heads.queryWidth, heads.keyValueWidth, heads.keyValueWidth)
        let (q, k, v) = (parts[0], parts[1], parts[2])
        return output(pass.attend(q, k, v, rotatedBy: rotation, shape, layer: layer))
    }
}
