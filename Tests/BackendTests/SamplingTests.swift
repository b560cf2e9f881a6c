import CPUBackend
import Foundation
import ReferenceBackend
import Tensors
import Testing

@Suite struct SamplingTests {
    /// Every question about every row, as the reference answers it.
    @Test(arguments: Candidate.allCases)
    func answersAsTheReference(_ candidate: Candidate) {
        let (ours, reference) = (candidate.make(), ReferenceBackend())
        for width in [1, 7, 8, 63, 64, 65, 200, 1024, 1025, 5000] {
            var noise = Noise(width)
            // Few values, so that many are equal.
            let rows = (0..<6).map { row in
                noise.floats(width).map { row % 2 == 0 ? $0 * 9 : ($0 * 9).rounded() }
            }
            let queries = self.queries(width)
            var results: [[LogitAnswer]] = [[], []]
            for (index, backend) in [ours, reference as any Backend].enumerated() {
                let logits = backend.matrix(rows)
                backend.answer(queries, on: logits, into: &results[index])
                expectClose(
                    backend.rows(logits), rows.indices.map { edited(rows[$0], queries[$0]) }, 0,
                    "edits of \(width)")
            }
            for (mine, theirs) in zip(results[0], results[1]) {
                #expect(mine.choice.index == theirs.choice.index, "choice of \(width)")
                #expect(mine.leading.map(\.index) == theirs.leading.map(\.index), "largest of \(width)")
                expectClose([probabilities(mine)], [probabilities(theirs)], 2e-5, "probabilities of \(width)")
            }
            // Each question alone, and into answers that hold others.
            let logits = ours.matrix(rows)
            for (query, expected) in zip(queries, results[0]).reversed() {
                ours.answer([query], on: logits, into: &results[1])
                #expect(results[1] == [expected], "alone of \(width)")
            }
        }
    }

    private func queries(_ width: Int) -> [LogitQuery] {
        var queries = (0..<6).map { LogitQuery(row: $0) }
        queries[0].leading = width / 2
        (queries[1].leading, queries[1].temperature) = (width, 0.7)
        (queries[2].leading, queries[2].choice) = (3, .drawn(at: 0.3))
        (queries[3].temperature, queries[3].choice) = (2, .drawn(at: 0.999))
        queries[4].choice = .column(width - 1)
        queries[4].edits = [
            LogitEdit(column: width / 3, .exclude), LogitEdit(column: width - 1, .add(1)),
            LogitEdit(column: width - 1, .penalize(repetition: 2, minus: 0.5)),
            LogitEdit(column: width / 2, .grow(3)),
        ]
        (queries[5].leading, queries[5].temperature) = (50, 0.01)
        if width == 1 { queries[4].edits.removeFirst() }
        // Every third column, then none of the last.
        let words = (width + 63) / 64
        queries[0].allowed = (0..<words).map { word in
            (0..<64).reduce(0) { ($1 + word * 64).isMultiple(of: 3) ? $0 | 1 << UInt64($1) : $0 }
        }
        queries[3].allowed = [.max]
        return queries
    }

    private func edited(_ row: [Float], _ query: LogitQuery) -> [Float] {
        let edited = query.edits.reduce(into: row) { $0[$1.column] = $1.applied(to: $0[$1.column]) }
        guard let allowed = query.allowed else { return edited }
        return edited.enumerated().map { column, value in
            let word = column / 64 < allowed.count ? allowed[column / 64] : 0
            return word >> UInt64(column % 64) & 1 == 1 ? value : -.infinity
        }
    }

    private func probabilities(_ answer: LogitAnswer) -> [Float] {
        [answer.choice.logProbability] + answer.leading.map(\.logProbability)
    }

    /// Draws from what top-k, top-p and min-p leave, be it few columns or nearly all.
    @Test(arguments: Candidate.allCases)
    func drawsFromNuclei(_ candidate: Candidate) {
        let (ours, reference) = (candidate.make(), ReferenceBackend())
        var noise = Noise(5)
        let rows = [3, 0.1].map { (scale: Float) in noise.floats(5000).map { $0 * scale } }
        for nucleus in [
            Nucleus(count: 5000, mass: 0.9, ratio: 0), Nucleus(count: 70, mass: 1, ratio: 0),
            Nucleus(count: 9000, mass: 1, ratio: 0.5), Nucleus(count: 1000, mass: 0.5, ratio: 0.01),
        ] {
            let queries = (0..<40).map { number in
                var query = LogitQuery(row: number % 2)
                query.choice = .drawnFrom(nucleus, at: Double(number) / 40)
                query.leading = number % 3
                return query
            }
            var (mine, theirs) = ([LogitAnswer](), [LogitAnswer]())
            ours.answer(queries, on: ours.matrix(rows), into: &mine)
            reference.answer(queries, on: reference.matrix(rows), into: &theirs)
            // Where a point falls on the border of two columns rounding decides.
            let same = zip(mine, theirs).count { $0.choice.index == $1.choice.index }
            #expect(same >= 38, "\(nucleus)")
            #expect(mine.map { $0.leading.map(\.index) } == theirs.map { $0.leading.map(\.index) })
        }
    }

    @Test(arguments: Candidate.allCases)
    func oddNumbersHaveAnswers(_ candidate: Candidate) {
        let backend = candidate.make()
        func answer(_ row: [Float], _ choice: LogitQuery.Choice, leading: Int = 3) -> LogitAnswer {
            var (answers, query) = ([LogitAnswer](), LogitQuery(row: 0))
            (query.choice, query.leading) = (choice, leading)
            backend.answer([query], on: backend.matrix([row]), into: &answers)
            return answers[0]
        }
        #expect(answer([.nan, 1, .nan], .likeliest).choice.index == 1)
        #expect(answer([.nan, 1, .nan], .likeliest).leading.map(\.index) == [1])
        #expect(answer([.nan, .nan], .likeliest).choice.index == 0)
        #expect(answer([-.infinity, 2, -.infinity], .drawn(at: 0.999_999)).choice.index == 1)
        #expect(answer([-.infinity, 2, -.infinity], .likeliest).leading.map(\.index) == [1, 0, 2])
        let nucleus = LogitQuery.Choice.drawnFrom(Nucleus(count: 9, mass: 0.9, ratio: 0), at: 0.9)
        #expect(answer([.nan, .nan], nucleus).choice.index == 0)
        #expect(answer([.nan, 4], nucleus).choice.index == 1)
        #expect(answer([1, .infinity], .likeliest).choice.index == 1)
        #expect(answer([0, 3, .nan], .drawn(at: 0)).choice.index == 1)
        #expect(answer([-1, -1], .column(1)).choice.logProbability == -log(Float(2)))
    }
}
