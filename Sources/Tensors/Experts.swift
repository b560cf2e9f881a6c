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

    public init(experts: [Expert], activation: Activation) {
        (self.experts, self.activation) = (experts, activation)
    }
}
