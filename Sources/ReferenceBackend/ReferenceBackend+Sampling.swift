import Foundation
public import Tensors

extension ReferenceBackend {
    public func answer(_ queries: [LogitQuery], on logits: Matrix, into answers: inout [LogitAnswer]) {
        answers = queries.map { query in
            var values = logits[query.row]
            for edit in query.edits { values[edit.column] = edit.applied(to: values[edit.column]) }
            if let allowed = query.allowed {
                for column in values.indices
                where column / 64 >= allowed.count || allowed[column / 64] >> UInt64(column % 64) & 1 == 0 {
                    values[column] = -.infinity
                }
            }
            logits[query.row] = values
            return answer(query, values)
        }
    }

    private func answer(_ query: LogitQuery, _ values: [Float]) -> LogitAnswer {
        let scaled = values.map { Double($0) / Double(query.temperature) }
        let top = scaled.filter { !$0.isNaN }.max() ?? -.infinity
        let total = top + log(scaled.reduce(0) { $0 + exp($1 - top) })
        func column(_ index: Int) -> LogitAnswer.Column {
            LogitAnswer.Column(index: index, logProbability: Float(scaled[index] - total))
        }
        let likeliest = values.indices.filter { !values[$0].isNaN }
            .sorted { values[$0] > values[$1] || (values[$0] == values[$1] && $0 < $1) }
        var answer = LogitAnswer()
        answer.leading = likeliest.prefix(query.leading).map { column($0) }
        switch query.choice {
        case .likeliest: answer.choice = column(likeliest.first ?? 0)
        case .column(let index): answer.choice = column(index)
        case .drawnFrom(var nucleus, let point):
            nucleus.count = min(nucleus.count, likeliest.count)
            answer.choice = nucleus.draw(at: point, from: likeliest.map { column($0) }) ?? column(0)
        case .drawn(let point):
            var sum = 0.0
            let index = values.indices.first { index in
                sum += exp(scaled[index] - total)
                return sum > point
            }
            // Rounding may leave the whole sum short of the point.
            let last = values.indices.last { scaled[$0] > -.infinity }
            answer.choice = column(index ?? last ?? 0)
        }
        return answer
    }
}
