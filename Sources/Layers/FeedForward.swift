public import Tensors

/// The part of a layer that works on each token alone.
public protocol FeedForward: Sendable {
    func callAsFunction(_ x: Matrix) -> Matrix
}

/// `down(act(gate(x)) * up(x))`, arXiv 2002.05202.
public struct GatedMLP: FeedForward {
    let gateUp: Linear
    let down: Linear
    let activation: Activation

    /// `gateUp` stacks the gate on top of the up projection.
    public init(gateUp: Linear, down: Linear, activation: Activation) {
        (self.gateUp, self.down, self.activation) = (gateUp, down, activation)
    }

    public func callAsFunction(_ x: Matrix) -> Matrix {
        let both = gateUp(x)
        let width = both.columns / 2
        let hidden = x.backend.makeMatrix(rows: x.rows, columns: width)
        x.backend.gated(both.columns(0..<width), both.columns(width..<2 * width), activation, into: hidden)
        return down(hidden)
    }
}
