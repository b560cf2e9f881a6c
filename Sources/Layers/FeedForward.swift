public import Tensors

/// The part of a layer that works on each token alone.
public protocol FeedForward: Sendable {
    func callAsFunction(_ x: Matrix) -> Matrix
}

/// The names of the three projections of a gated network.
public struct GatedNames: Sendable {
    let (gate, up, down): (String, String, String)

    public init(gate: String = "gate_proj", up: String = "up_proj", down: String = "down_proj") {
        (self.gate, self.up, self.down) = (gate, up, down)
    }
}

/// `down(act(gate(x)) * up(x))`, arXiv 2002.05202.
public struct GatedMLP: FeedForward {
    let gateUp: Linear
    let down: Linear
    let activation: Activation

    /// Each projection under its name.
    public init(
        _ parameters: Parameters, _ names: GatedNames = GatedNames(), width: Int, inner: Int,
        activation: Activation
    ) throws {
        let down = parameters[names.down], own = try down.ownInputs(of: inner)
        gateUp = try Linear(
            [
                .init(parameters[names.gate], outputs: inner, kept: [own]),
                .init(parameters[names.up], outputs: inner, kept: [own]),
            ], inputs: width)
        self.down = try Linear(down, inputs: inner, outputs: width, split: .inputs([own]))
        self.activation = activation
    }

    /// `gateUp` has the gate on top of the up projection.
    public init(
        gateUp: Parameters, down: Parameters, width: Int, inner: Int, activation: Activation
    ) throws {
        let own = try down.ownInputs(of: inner)
        self.gateUp = try Linear(
            gateUp, inputs: width, outputs: 2 * inner,
            split: .outputs([own, inner + own.lowerBound..<inner + own.upperBound]))
        self.down = try Linear(down, inputs: inner, outputs: width, split: .inputs([own]))
        self.activation = activation
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

    /// From `width` columns by `inner` to `outputs`, or to as many as before.
    public init(
        up: Parameters, down: Parameters, width: Int, inner: Int, outputs: Int? = nil, activation: Activation
    ) throws {
        let own = try down.ownInputs(of: inner)
        self.up = try Linear(up, inputs: width, outputs: inner, split: .outputs([own]))
        self.down = try Linear(down, inputs: inner, outputs: outputs ?? width, split: .inputs([own]))
        self.activation = activation
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

    /// In `gateUp` outputs of the gate and of the up projection alternate.
    public init(gateUp: Parameters, down: Parameters, width: Int, inner: Int, limit: Float?) throws {
        let own = try down.ownInputs(of: inner)
        self.gateUp = try Linear(
            [
                .init(
                    gateUp, outputs: 2 * inner,
                    kept: [0, 1].flatMap { first in own.map { 2 * $0 + first..<2 * $0 + first + 1 } })
            ], inputs: width)
        self.down = try Linear(down, inputs: inner, outputs: width, split: .inputs([own]))
        self.limit = limit
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
