/// Expects short answers while there is memory: LightLLM's `router_token_ratio`.
///
/// While less than `ratio` of the slots are in use, a sequence is expected to generate `growth` times what it has,
/// and `newTokens` at least; beyond that all that it may. Sequences are paused when it was wrong.
public struct AggressivePolicy: AdmissionPolicy {
    private let ratio: Double
    private let newTokens: Int
    private let growth: Double

    public init(ratio: Double, newTokens: Int, growth: Double = 1.1) {
        (self.ratio, self.newTokens, self.growth) = (ratio, newTokens, growth)
    }

    public mutating func admits(_ holdings: [Holding], newcomer: Int, capacity: Int) -> Bool {
        let use = holdings.reduce(0) { $0 + $1.slots(inStep: 1) }
        guard Double(use) < ratio * Double(capacity) else { return Holding.peak(holdings) <= capacity }
        let expected = holdings.map { holding in
            let total = max(Int(growth * Double(holding.generated)), newTokens)
            return holding.generating(atMost: total - holding.generated)
        }
        return Holding.peak(expected.sorted { $0.end > $1.end }) <= capacity
    }
}
