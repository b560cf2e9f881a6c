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

    /// The projections under the names that most checkpoints have: `gate_proj`, `up_proj`, `down_proj`.
    public init(_ parameters: Parameters, width: Int, inner: Int, activation: Activation) throws {
        try self.init(
            gateUp: Linear(
                stacking: [(parameters["gate_proj"], inner), (parameters["up_proj"], inner)], inputs: width),
            down: Linear(parameters["down_proj"], inputs: inner, outputs: width), activation: activation)
    }

    public func callAsFunction(_ x: Matrix) -> Matrix {
        let both = gateUp(x)
        let width = both.columns / 2
        let hidden = x.backend.makeMatrix(rows: x.rows, columns: width)
        x.backend.gated(both.columns(0..<width), both.columns(width..<2 * width), activation, into: hidden)
        return down(hidden)
    }
}

/// `down(act(up(x)))`.
public struct PlainMLP: FeedForward {
    let up: Linear
    let down: Linear
    let activation: Activation

    public init(up: Linear, down: Linear, activation: Activation) {
        (self.up, self.down, self.activation) = (up, down, activation)
    }

    public func callAsFunction(_ x: Matrix) -> Matrix {
        let hidden = up(x)
        x.backend.activate(hidden, activation, into: hidden)
        return down(hidden)
    }
}

/// `down(quickGelu(gate(x)) * (up(x) + 1))`, gate and up within a limit (Phi-3 small).
public struct LimitedGatedMLP: FeedForward {
    let gateUp: Linear
    let down: Linear
    let limit: Float?

    /// `gateUp` stacks the gate on top of the up projection.
    public init(gateUp: Linear, down: Linear, limit: Float?) {
        (self.gateUp, self.down, self.limit) = (gateUp, down, limit)
    }

    public func callAsFunction(_ x: Matrix) -> Matrix {
        let both = gateUp(x)
        let (gate, up) = (both.columns(0..<both.columns / 2), both.columns(both.columns / 2..<both.columns))
        if let limit {
            x.backend.clamp(gate, to: -Float.infinity...limit)
            x.backend.clamp(up, to: -limit...limit)
        }
        let product = x.backend.makeMatrix(rows: x.rows, columns: gate.columns)
        x.backend.gated(gate, up, .quickGelu, into: product)
        x.backend.activate(gate, .quickGelu, into: gate)
        return down(product + gate)
    }
}
