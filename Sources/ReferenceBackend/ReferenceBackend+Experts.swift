import Foundation
public import Tensors

extension ReferenceBackend {
    public func mixExperts(
        _ x: Matrix, scores: Matrix, _ rule: RoutingRule, _ experts: ExpertWeights, into y: Matrix
    ) {
        for row in 0..<x.rows {
            var sum = [Double](repeating: 0, count: y.columns)
            let input = makeMatrix(rows: 1, columns: x.columns)
            input[0] = x[row]
            for (index, weight) in chosen(scores[row], rule) {
                let expert = experts.experts[index]
                let both = makeMatrix(rows: 1, columns: expert.gateUp.outputs)
                linear(input, expert.gateUp, bias: nil, into: both)
                let parts = both.split(expert.down.inputs, expert.down.inputs)
                let inner = makeMatrix(rows: 1, columns: expert.down.inputs)
                gated(parts[0], parts[1], experts.activation, into: inner)
                let result = makeMatrix(rows: 1, columns: y.columns)
                linear(inner, expert.down, bias: nil, into: result)
                for column in sum.indices { sum[column] += weight * Double(result[0][column]) }
            }
            y[row] = sum.map { Float($0) }
        }
    }

    private func chosen(_ scores: [Float], _ rule: RoutingRule) -> [(expert: Int, weight: Double)] {
        let top = scores.max() ?? 0
        let powers = scores.map { exp(Double($0) - Double(top)) }
        var probabilities = powers.map { $0 / powers.reduce(0, +) }
        if let groups = rule.groups {
            let size = probabilities.count / groups.count
            let bests = (0..<groups.count).map { group in
                probabilities[group * size..<(group + 1) * size].max() ?? 0
            }
            let kept = largest(groups.kept, of: bests)
            for index in probabilities.indices where !kept.contains(index / size) {
                probabilities[index] = -1
            }
        }
        let experts = largest(rule.chosen, of: probabilities)
        let sum = rule.normalizes ? experts.reduce(0.0) { $0 + probabilities[$1] } : 1
        return experts.map { ($0, probabilities[$0] / sum * Double(rule.scale)) }
    }

    /// The places of the largest values, the first of equals first.
    private func largest(_ count: Int, of values: [Double]) -> [Int] {
        var (left, found) = (Array(values.indices), [Int]())
        while found.count < count, let best = left.max(by: { values[$0] < values[$1] }) {
            let first = left.first { values[$0] == values[best] } ?? best
            found.append(first)
            left.removeAll { $0 == first }
        }
        return found
    }
}
