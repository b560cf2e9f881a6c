public import Tensors

/// A factor for each column of a branch, before it is added to the stream (arXiv 2103.17239).
public struct LayerScale: Sendable {
    let factors: Matrix

    public init(_ parameters: Parameters, _ leaf: String, width: Int) throws {
        factors = try parameters.row(leaf, count: width)
    }

    func apply(to x: Matrix) { x.backend.scaleColumns(x, by: factors) }
}

/// Attention whose result is scaled column by column.
public struct ScaledAttention: Attention {
    let attention: any Attention
    let scale: LayerScale

    public init(_ attention: any Attention, by scale: LayerScale) {
        (self.attention, self.scale) = (attention, scale)
    }

    public func callAsFunction(_ x: Matrix, _ pass: ForwardPass) -> Matrix {
        let y = attention(x, pass)
        scale.apply(to: y)
        return y
    }

    public func cacheLayout(layers: Int) -> CacheLayout { attention.cacheLayout(layers: layers) }
}

/// A feed-forward whose result is scaled column by column.
public struct ScaledFeedForward: FeedForward {
    let feedForward: any FeedForward
    let scale: LayerScale

    public init(_ feedForward: any FeedForward, by scale: LayerScale) {
        (self.feedForward, self.scale) = (feedForward, scale)
    }

    public func callAsFunction(_ x: Matrix) -> Matrix {
        let y = feedForward(x)
        scale.apply(to: y)
        return y
    }
}
