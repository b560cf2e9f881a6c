import CCUDAHost
import CPUBackend
import CUDABackend
import Foundation
import ReferenceBackend
import Tensors
import Testing

/// Draws and edits of logits on the device.
@Suite(.serialized) struct SamplingTests {
    private func answers(
        _ backend: any Backend, _ queries: [LogitQuery], _ rows: [[Float]]
    ) -> [LogitAnswer] {
        var answers: [LogitAnswer] = []
        backend.answer(queries, on: backend.matrix(rows), into: &answers)
        return answers
    }

    /// Draws from few columns and from nearly all, of rows with one likely column, of flat rows, and of rows of many
    /// equals.
    @Test(arguments: [false, true]) func drawsFromNuclei(_ backwards: Bool) throws {
        cuda_host_set_backwards(backwards)
        defer { cuda_host_set_backwards(false) }
        var noise = Noise(5)
        var rows = [9, 1, 0.1].map { (scale: Float) in noise.floats(1500).map { $0 * scale } }
        rows.append((0..<1500).map { Float($0 % 7) })
        rows.append((0..<1500).map { $0 == 1400 ? 30 : -Float($0) })
        for nucleus in [
            Nucleus(count: 3000, mass: 0.9, ratio: 0), Nucleus(count: 70, mass: 1, ratio: 0),
            Nucleus(count: 9000, mass: 1, ratio: 0.5), Nucleus(count: 1000, mass: 0.5, ratio: 0.01),
            Nucleus(count: 1, mass: 1, ratio: 0), Nucleus(count: 3000, mass: 0, ratio: 0),
            Nucleus(count: 3000, mass: 1, ratio: 1), Nucleus(count: 500, mass: 0.3, ratio: 0),
        ] {
            for temperature: Float in [1, 0.3, 4] {
                let queries = rows.indices.flatMap { row in
                    (0..<10).map { number in
                        var query = LogitQuery(row: row)
                        query.choice = .drawnFrom(nucleus, at: (Double(number) + 0.3) / 10)
                        query.temperature = temperature
                        return query
                    }
                }
                let ours = answers(try makeHostBackend(), queries, rows)
                let theirs = answers(ReferenceBackend(), queries, rows)
                // Where a point falls on the border of two columns, or a column on that of the nucleus, rounding decides.
                let same = zip(ours, theirs).count { $0.choice.index == $1.choice.index }
                #expect(same >= 48, "\(nucleus), \(temperature)")
                for (mine, other) in zip(ours, theirs) where mine.choice.index == other.choice.index {
                    #expect(abs(mine.choice.logProbability - other.choice.logProbability) < 1e-3)
                }
            }
        }
    }

    /// A row's draw is the same whoever else is asked about.
    @Test func drawsAloneAreTheSame() throws {
        var noise = Noise(6)
        let rows = (0..<4).map { _ in noise.floats(1111) }
        let queries = (0..<4).map { row in
            var query = LogitQuery(row: row)
            query.choice = .drawnFrom(Nucleus(count: 900, mass: 0.95, ratio: 0.001), at: 0.77)
            return query
        }
        let backend = try makeHostBackend()
        let together = answers(backend, queries, rows)
        for row in 0..<4 {
            var alone = queries[row]
            alone.row = 0
            #expect(answers(backend, [alone], [rows[row]])[0].choice == together[row].choice)
        }
    }

    @Test func oddRowsHaveDraws() throws {
        let backend = try makeHostBackend()
        func draw(_ row: [Float], mass: Float = 0.9, count: Int = 9, ratio: Float = 0, at point: Double = 0.9)
            -> Int
        {
            var query = LogitQuery(row: 0)
            query.choice = .drawnFrom(Nucleus(count: count, mass: mass, ratio: ratio), at: point)
            return answers(backend, [query], [row])[0].choice.index
        }
        #expect(draw([.nan, .nan]) == 0)
        #expect(draw([.nan, 4]) == 1)
        #expect(draw([-.infinity, -.infinity]) == 0)
        #expect(draw([-.infinity, 2, -.infinity], at: 0.999_999) == 1)
        #expect(draw([1, .infinity]) == 1)
        #expect(draw([5]) == 0)
        #expect(draw([1, 1, 1, 1], mass: 1, at: 0.6) == 2)
        #expect(draw([1, 1, 1, 1], mass: 1, count: 2, at: 0.6) == 1)
        #expect(draw([0, -0.0, 0], mass: 1, at: 0.5) == 1)
        #expect(draw([-3e38, 3e38, 0], mass: 1, ratio: 1e-30, at: 0.999) == 1)
        #expect(backend.failure == nil)
    }

    /// More edits of a row than a block has threads, several of one column in their order.
    @Test(arguments: [false, true]) func editsAreMadeInOrder(_ backwards: Bool) throws {
        cuda_host_set_backwards(backwards)
        defer { cuda_host_set_backwards(false) }
        var noise = Noise(8)
        let rows = [noise.floats(900), noise.floats(900), noise.floats(900)]
        var queries = [0, 2].map { LogitQuery(row: $0) }
        for index in 0..<700 {
            queries[0].edits.append(
                LogitEdit(column: index, .penalize(repetition: 1.3, minus: Float(index % 3) / 10)))
        }
        for index in stride(from: 0, to: 700, by: 3) {
            queries[0].edits.append(LogitEdit(column: index, .add(Float(index % 5))))
            queries[0].edits.append(LogitEdit(column: index, .grow(0.5)))
        }
        queries[1].edits = [LogitEdit(column: 7, .exclude), LogitEdit(column: 8, .add(1))]
        for index in queries.indices { queries[index].leading = 900 }
        let ours = answers(try makeHostBackend(), queries, rows)
        let theirs = answers(CPUBackend(), queries, rows)
        for (mine, other) in zip(ours, theirs) {
            #expect(mine.leading.map(\.index) == other.leading.map(\.index))
            #expect(
                !zip(mine.leading, other.leading).contains {
                    abs($0.logProbability - $1.logProbability) > 1e-4
                })
        }
    }
}
