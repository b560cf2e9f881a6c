public import Tensors
import Weights

/// A feed-forward part of which each token uses a few experts that a router chooses (arXiv 1701.06538), and
/// perhaps one that all tokens share.
public struct MixtureOfExperts: FeedForward {
    let router: Linear
    let experts: ExpertWeights
    let rule: RoutingRule
    let shared: GatedMLP?
    let sharedGate: Linear?
    /// Those whose results are summed: each has a part of every expert.
    let group: (any Communicator)?

    /// `experts` were read at `parameters`. The result of `shared` is multiplied by the sigmoid of `sharedGate`'s
    /// one output, if there is one.
    public init(
        _ parameters: Parameters, router: Linear, experts: ExpertWeights, rule: RoutingRule,
        shared: GatedMLP? = nil, sharedGate: Linear? = nil
    ) {
        (self.router, self.experts, self.rule) = (router, experts, rule)
        group = parameters.shard.isWhole ? nil : parameters.group
        (self.shared, self.sharedGate) = (shared, sharedGate)
    }

    public func callAsFunction(_ x: Matrix) -> Matrix {
        let scores = router(x), routed: Matrix
        if let group {
            routed = group.sum(rows: x.rows, columns: x.columns, on: x.backend) {
                x.backend.mixExperts(x, scores: scores, rule, experts, into: $0)
            }
        } else {
            routed = x.backend.makeMatrix(rows: x.rows, columns: x.columns)
            x.backend.mixExperts(x, scores: scores, rule, experts, into: routed)
        }
        guard let shared else { return routed }
        let common = shared(x)
        if let sharedGate { x.backend.scale(common, bySigmoidOf: sharedGate(x)) }
        return routed + common
    }
}

extension ExpertWeights {
    /// `count` experts, each under its number or, as GGUF files have them, all in one tensor for each projection; of
    /// each the part that is computed here.
    public init(
        _ parameters: Parameters, _ names: GatedNames = GatedNames(), count: Int, width: Int, inner: Int,
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
        let all = parameters[names.down]
        let own = try (all.contains("weight") ? all : parameters["0"][names.down]).ownInputs(of: inner)
        let backend = parameters.backend
        self.init(
            experts: try (0..<count).map { index in
                Expert(
                    gateUp: backend.makeWeight([
                        parameters[names.gate].stored(gates[index].rows(own)),
                        parameters[names.up].stored(ups[index].rows(own)),
                    ]),
                    down: backend.makeWeight([all.stored(try all.columns([own], of: downs[index]))]))
            }, activation: activation, on: backend)
    }
}
