import Foundation

/// How a mixture of experts chooses who computes a row, and with what weight.
public struct RoutingRule: Sendable, Equatable {
    /// Only experts of the best groups are chosen (DeepSeek-V2, arXiv 2405.04434); a group is as good as its best.
    public struct Groups: Sendable, Equatable {
        public let count: Int
        public let kept: Int

        public init(count: Int, kept: Int) { (self.count, self.kept) = (count, kept) }
    }

    /// The scores of all experts become probabilities by softmax; so many of the likeliest are chosen, the first
    /// of equals.
    public let chosen: Int
    /// Whether the chosen probabilities are divided by their sum.
    public let normalizes: Bool
    /// What the weights are multiplied with in the end.
    public let scale: Float
    public let groups: Groups?

    public init(chosen: Int, normalizes: Bool, scale: Float = 1, groups: Groups? = nil) {
        (self.chosen, self.normalizes, self.scale, self.groups) = (chosen, normalizes, scale, groups)
    }
}

/// The weights of gated feed-forward networks of one shape: `down(act(gate(x)) * up(x))`.
public struct ExpertWeights: Sendable {
    public struct Expert: Sendable {
        /// The gate stacked on the up projection.
        public let gateUp: WeightMatrix
        public let down: WeightMatrix

        public init(gateUp: WeightMatrix, down: WeightMatrix) { (self.gateUp, self.down) = (gateUp, down) }
    }

    public let experts: [Expert]
    public let activation: Activation
    /// What the backend that has the weights made of them; nil for one that needs nothing more.
    public let prepared: (any Sendable)?

    /// `experts` were made by `backend`.
    public init(experts: [Expert], activation: Activation, on backend: any Backend) {
        (self.experts, self.activation) = (experts, activation)
        prepared = backend.prepare(experts)
    }
}

extension RoutingRule {
    /// The experts that a row with these scores goes to, likeliest first.
    public func choices(_ scores: UnsafeBufferPointer<Float>) -> [(expert: Int, weight: Float)] {
        let top = scores.max() ?? 0
        var weights = scores.map { exp($0 - top) }
        let total = weights.reduce(0, +)
        for index in weights.indices { weights[index] /= total }
        var candidates = Array(weights.indices)
        if let groups {
            let size = weights.count / groups.count
            let best = (0..<groups.count).map { weights[$0 * size..<($0 + 1) * size].max() ?? 0 }
            let kept = Set((0..<groups.count).ranked { best[$0] }.prefix(groups.kept))
            candidates.removeAll { !kept.contains($0 / size) }
        }
        let chosen = candidates.ranked { weights[$0] }.prefix(self.chosen)
        let sum = normalizes ? chosen.reduce(Float(0)) { $0 + weights[$1] } : 1
        return chosen.map { ($0, weights[$0] / sum * scale) }
    }
}

extension Sequence<Int> {
    /// The largest first, the first of equals first.
    fileprivate func ranked(by value: (Int) -> Float) -> [Int] {
        sorted { value($0) > value($1) || value($0) == value($1) && $0 < $1 }
    }
}
