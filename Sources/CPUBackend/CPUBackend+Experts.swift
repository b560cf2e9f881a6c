import CKernels
import Foundation
public import Tensors

extension CPUBackend {
    /// Expert by expert: the rows that chose it side by side, then each result added to its row. A row meets its
    /// experts in the order of their numbers, whoever else does.
    public func mixExperts(
        _ x: Matrix, scores: Matrix, _ rule: RoutingRule, _ experts: ExpertWeights, into y: Matrix
    ) {
        precondition(scores.columns == experts.experts.count && x.rows == scores.rows, "scores of experts")
        var groups = [Group](repeating: Group(), count: scores.columns)
        kernels.clear_rows(y.row(0), y.rowStride, y.rows, y.columns)
        for row in 0..<x.rows {
            let values = UnsafeBufferPointer(start: scores.row(row), count: scores.columns)
            for choice in rule.choices(values) {
                groups[choice.expert].rows.append(Int32(row))
                groups[choice.expert].weights.append(choice.weight)
            }
        }
        for (index, group) in groups.enumerated() where !group.rows.isEmpty {
            let expert = experts.experts[index]
            let rows = makeMatrix(rows: group.rows.count, columns: x.columns)
            gatherRows(group.rows, of: x, into: rows)
            let both = makeMatrix(rows: group.rows.count, columns: expert.gateUp.outputs)
            linear(rows, expert.gateUp, bias: nil, into: both)
            let inner = makeMatrix(rows: group.rows.count, columns: expert.down.inputs)
            let parts = both.split(inner.columns, inner.columns)
            gated(parts[0], parts[1], experts.activation, into: inner)
            let result = makeMatrix(rows: group.rows.count, columns: y.columns)
            linear(inner, expert.down, bias: nil, into: result)
            kernels.add_scaled_rows(
                result.row(0), result.rowStride, group.weights, group.rows, result.rows, y.columns,
                y.row(0), y.rowStride)
        }
        withExtendedLifetime((x, y, scores)) {}
    }

    /// The rows that one expert computes.
    private struct Group {
        var rows: [Int32] = []
        var weights: [Float] = []
    }
}

extension RoutingRule {
    /// The experts that a row with these scores goes to.
    fileprivate func choices(_ scores: UnsafeBufferPointer<Float>) -> [(expert: Int, weight: Float)] {
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
