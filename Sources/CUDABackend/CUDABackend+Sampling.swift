import CUDARuntime
import Foundation
public import Tensors

extension CUDABackend {
    public func answer(_ queries: [LogitQuery], on logits: Matrix, into answers: inout [LogitAnswer]) {
        ask(queries, on: logits).wait(into: &answers)
    }

    public func ask(_ queries: [LogitQuery], on logits: Matrix) -> PendingAnswers {
        guard !queries.isEmpty else { return PendingAnswers { $0.removeAll(keepingCapacity: true) } }
        edit(queries, logits)
        mask(queries, logits)
        let questions = queries.map { Question($0, columns: logits.columns) }
        let most = max(1, questions.map { Int($0.wanted) }.max() ?? 1)
        let asked = upload(questions)
        let results = buffer(bytes: questions.count * MemoryLayout<RowFacts>.stride)
        let values = buffer(bytes: 4 * questions.count * most),
            columns = buffer(bytes: 4 * questions.count * most)
        launch(
            "answer_questions", Extent(questions.count), Extent(1024),
            [
                .address(logits.start), .long(logits.rowStride), .int(logits.columns),
                .address(asked.address),
                .address(results.address), .address(values.address), .address(columns.address), .int(most),
            ])
        let factBytes = questions.count * MemoryLayout<RowFacts>.stride
        attempt { () throws(CUDAError) in
            try startDirectWork()
            try staging.startReceiving([
                (results.address, factBytes), (values.address, 4 * questions.count * most),
                (columns.address, 4 * questions.count * most),
            ])
        }
        return PendingAnswers { [self] answers in
            answers.removeAll(keepingCapacity: true)
            let bytes = attempt { () throws(CUDAError) in
                try device.makeCurrent()
                return try staging.finishReceiving()
            }
            guard let bytes else { return answers += repeatElement(LogitAnswer(), count: queries.count) }
            collect(queries, on: logits, from: bytes, most: most, into: &answers)
        }
    }

    /// Works the answers out from what has come to the host: the facts of all rows, and for each row `most` values and
    /// columns.
    private func collect(
        _ queries: [LogitQuery], on logits: Matrix, from bytes: UnsafeRawBufferPointer, most: Int,
        into answers: inout [LogitAnswer]
    ) {
        let factBytes = queries.count * MemoryLayout<RowFacts>.stride
        let facts = queries.indices.map { index in
            bytes.loadUnaligned(fromByteOffset: index * MemoryLayout<RowFacts>.stride, as: RowFacts.self)
        }
        let leading = queries.indices.map { index in
            (0..<Int(facts[index].found)).map { rank in
                let place = factBytes + 4 * (index * most + rank)
                return (
                    column: Int(
                        bytes.loadUnaligned(
                            fromByteOffset: place + 4 * queries.count * most, as: Int32.self)),
                    value: bytes.loadUnaligned(fromByteOffset: place, as: Float.self)
                )
            }
        }
        for (index, query) in queries.enumerated() {
            let row = AnsweredRow(query, facts[index], leading[index], columns: logits.columns)
            answers.append(row.answer() ?? row.answer(knowing: host(logits, query.row)))
        }
    }

    private func host(_ logits: Matrix, _ row: Int) -> [Float] {
        var values: [Float] = []
        read(logits, row: row, into: &values)
        return values
    }

    /// Makes the columns impossible that queries do not allow.
    private func mask(_ queries: [LogitQuery], _ logits: Matrix) {
        let masked = queries.filter { $0.allowed != nil }
        guard !masked.isEmpty else { return }
        let words = (logits.columns + 63) / 64
        var bits: [UInt64] = []
        for query in masked {
            let allowed = (query.allowed ?? []).prefix(words)
            bits += allowed
            bits += repeatElement(0, count: words - allowed.count)
        }
        let (list, rows) = (upload(bits), upload(masked.map { Int32($0.row) }))
        launch(
            "mask_logits", Extent((logits.columns + 255) / 256, masked.count), Extent(256),
            [
                .address(target(logits)), .long(logits.rowStride), .address(rows.address),
                .address(list.address),
                .int(2 * words), .int(logits.columns),
            ])
    }

    private func edit(_ queries: [LogitQuery], _ logits: Matrix) {
        var (edits, starts) = ([DeviceEdit](), [Int32(0)])
        for query in queries where !query.edits.isEmpty {
            edits += query.edits.map { DeviceEdit($0, row: query.row) }
            starts.append(Int32(edits.count))
        }
        guard !edits.isEmpty else { return }
        let (list, first) = (upload(edits), upload(starts))
        launch(
            "edit_logits", Extent(starts.count - 1), Extent(256),
            [
                .address(target(logits)), .long(logits.rowStride), .address(list.address),
                .address(first.address),
            ])
    }
}

/// As sampling.cu has it.
private struct Question: BitwiseCopyable {
    /// The most of the largest that the kernel finds.
    static let most = 1024

    let row: Int32
    let wanted: Int32
    private(set) var column: Int32 = -1
    private(set) var draws: Int32 = 0
    let scale: Float
    private(set) var count: Int32 = 0
    private(set) var point = 0.0
    private(set) var mass = 1.0
    /// How much less the logarithm of a probability may be than the first's.
    private(set) var farthest = Float.infinity
    let unused: Int32 = 0

    init(_ query: LogitQuery, columns: Int) {
        row = Int32(query.row)
        wanted = Int32(min(query.leading, columns, Self.most))
        // The inverse of a very small temperature is not finite.
        scale = min(1 / query.temperature, .greatestFiniteMagnitude)
        switch query.choice {
        case .likeliest: break
        case .column(let index): column = Int32(index)
        case .drawn(let at): (draws, point) = (1, at)
        case .drawnFrom(let nucleus, let at):
            (draws, point, mass) = (2, at, Double(nucleus.mass))
            count = Int32(min(max(nucleus.count, 1), columns))
            if nucleus.ratio > 0 { farthest = -log(nucleus.ratio) }
        }
    }
}

/// What the device found out about a row, as sampling.cu has it.
private struct RowFacts: BitwiseCopyable {
    var top: Float
    var topColumn: Int32
    var columnValue: Float
    var drawn: Int32
    var drawnValue: Float
    var found: Int32
    var sum: Double
}

private struct DeviceEdit: BitwiseCopyable {
    let row: Int32
    let column: Int32
    var kind: Int32
    var (a, b): (Float, Float) = (0, 0)

    init(_ edit: LogitEdit, row: Int) {
        (self.row, column) = (Int32(row), Int32(edit.column))
        switch edit.change {
        case .add(let bias): (kind, a) = (0, bias)
        case .penalize(let repetition, let minus): (kind, a, b) = (1, repetition, minus)
        case .grow(let growth): (kind, a) = (2, growth)
        case .exclude: kind = 3
        }
    }
}

/// Answers a query from what the device found out.
private struct AnsweredRow {
    private let query: LogitQuery
    private let facts: RowFacts
    private let found: [(column: Int, value: Float)]
    private let columns: Int
    private let normalizer: Float

    init(_ query: LogitQuery, _ facts: RowFacts, _ found: [(column: Int, value: Float)], columns: Int) {
        (self.query, self.facts, self.found, self.columns) = (query, facts, found, columns)
        normalizer = Float(log(facts.sum))
    }

    private func column(_ index: Int, _ value: Float) -> LogitAnswer.Column {
        let relative = value == facts.top ? 0 : (value - facts.top) / query.temperature
        return LogitAnswer.Column(index: index, logProbability: relative - normalizer)
    }

    private var choice: LogitAnswer.Column {
        switch query.choice {
        case .likeliest: column(Int(facts.topColumn), facts.top)
        case .column(let index): column(index, facts.columnValue)
        case .drawn, .drawnFrom: column(Int(facts.drawn), facts.drawnValue)
        }
    }

    /// Nil when more of the row must be known.
    func answer() -> LogitAnswer? {
        // Fewer than asked for are found when some are not numbers, or when more were asked for than are looked for.
        guard found.count >= min(query.leading, columns) || found.count < Question.most else { return nil }
        return answer(leading: found)
    }

    /// The same from the whole row.
    func answer(knowing row: [Float]) -> LogitAnswer {
        let order = row.indices.filter { !row[$0].isNaN }
            .sorted { row[$0] > row[$1] || (row[$0] == row[$1] && $0 < $1) }
        return answer(leading: order.map { ($0, row[$0]) })
    }

    private func answer(leading: [(column: Int, value: Float)]) -> LogitAnswer {
        var answer = LogitAnswer()
        answer.leading = leading.prefix(query.leading).map { column($0.column, $0.value) }
        answer.choice = choice
        return answer
    }
}
