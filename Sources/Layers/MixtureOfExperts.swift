public import Tensors

/// A feed-forward part of which each token uses a few experts that a router chooses (arXiv 1701.06538), and
/// perhaps one that all tokens share.
public struct MixtureOfExperts: FeedForward {
    let router: Linear
    let experts: ExpertWeights
    let rule: RoutingRule
    let shared: GatedMLP?
    let sharedGate: Linear?

    /// The result of `shared` is multiplied by the sigmoid of `sharedGate`'s one output, if there is one.
    public init(
        router: Linear, experts: ExpertWeights, rule: RoutingRule, shared: GatedMLP? = nil,
        sharedGate: Linear? = nil
    ) {
        (self.router, self.experts, self.rule) = (router, experts, rule)
        (self.shared, self.sharedGate) = (shared, sharedGate)
    }

    public func callAsFunction(_ x: Matrix) -> Matrix {
        let routed = x.backend.makeMatrix(rows: x.rows, columns: x.columns)
        x.backend.mixExperts(x, scores: router(x), rule, experts, into: routed)
        guard let shared else { return routed }
        let common = shared(x)
        if let sharedGate { x.backend.scale(common, bySigmoidOf: sharedGate(x)) }
        return routed + common
    }
}

extension ExpertWeights {
    /// The names of an expert's projections.
    public struct Names: Sendable {
        let (gate, up, down): (String, String, String)

        public init(gate: String = "gate_proj", up: String = "up_proj", down: String = "down_proj") {
            (self.gate, self.up, self.down) = (gate, up, down)
        }
    }

    /// `count` experts, each under its number or, as GGUF files have them, all in one tensor for each projection.
    public init(
        _ parameters: Parameters, _ names: Names = Names(), count: Int, width: Int, inner: Int,
        activation: Activation
    ) throws {
        func projections(_ name: String, _ outputs: Int, _ inputs: Int) throws -> [HostWeight] {
            if parameters[name].contains("weight") {
                return try parameters[name].matrices("weight", count: count, outputs: outputs, inputs: inputs)
            }
            return try (0..<count).map {
                try parameters["\($0)"][name].matrix("weight", outputs: outputs, inputs: inputs)
            }
        }
        let (gates, ups) = (
            try projections(names.gate, inner, width), try projections(names.up, inner, width)
        )
        let downs = try projections(names.down, width, inner)
        let backend = parameters.backend
        self.init(
            experts: (0..<count).map { index in
                Expert(
                    gateUp: backend.makeWeight([
                        parameters[names.gate].stored(gates[index]), parameters[names.up].stored(ups[index]),
                    ]),
                    down: backend.makeWeight([parameters[names.down].stored(downs[index])]))
            }, activation: activation)
    }
}
