import CUDARuntime
public import Tensors

extension CUDABackend {
    /// Expert by expert: the rows that chose it side by side, then each result added to its row. A row meets its
    /// experts in the order of their numbers, whoever else does. Scores come to the host, which waits for them.
    public func mixExperts(
        _ x: Matrix, scores: Matrix, _ rule: RoutingRule, _ experts: ExpertWeights, into y: Matrix
    ) {
        precondition(scores.columns == experts.experts.count && x.rows == scores.rows, "scores of experts")
        clear(y)
        for (index, group) in groups(scores, rule).enumerated() where !group.rows.isEmpty {
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
            let (weights, targets) = (upload(group.weights), upload(group.rows))
            launch(
                "add_scaled_rows", Extent(result.rows, min((y.columns + 1023) / 1024, 64)), Extent(256),
                [
                    .address(result.start), .long(result.rowStride), .address(weights.address),
                    .address(targets.address), .address(y.start), .long(y.rowStride), .int(y.columns),
                ])
        }
    }

    /// The rows that one expert computes, and with what weight.
    private struct Group {
        var rows: [Int32] = []
        var weights: [Float] = []
    }

    private func groups(_ scores: Matrix, _ rule: RoutingRule) -> [Group] {
        let rowBytes = 4 * scores.columns
        let bytes = attempt { () throws(CUDAError) in
            try startDirectWork()
            return try staging.receive(
                (0..<scores.rows).map { (scores.start + 4 * $0 * scores.rowStride, rowBytes) })
        }
        var groups = [Group](repeating: Group(), count: scores.columns)
        guard let bytes else { return groups }
        for row in 0..<scores.rows {
            let values = UnsafeRawBufferPointer(rebasing: bytes[row * rowBytes..<(row + 1) * rowBytes])
            for choice in rule.choices(values.bindMemory(to: Float.self)) {
                groups[choice.expert].rows.append(Int32(row))
                groups[choice.expert].weights.append(choice.weight)
            }
        }
        return groups
    }
}
