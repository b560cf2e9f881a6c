import CKernels
import Foundation
public import Tensors

extension CPUBackend {
    public func answer(_ queries: [LogitQuery], on logits: Matrix, into answers: inout [LogitAnswer]) {
        if answers.count > queries.count { answers.removeLast(answers.count - queries.count) }
        while answers.count < queries.count { answers.append(LogitAnswer()) }
        answers.withUnsafeMutableBufferPointer { answers in
            // Unsafe: every part writes the answers to its own queries.
            nonisolated(unsafe) let answers = answers
            let scratches = threadBuffers(bytes: LogitScratch.bytes(columns: logits.columns))
            split(rows: queries.count, cost: 8 * logits.columns) { range, thread in
                let scratch = LogitScratch(scratches[thread], columns: logits.columns)
                for index in range {
                    let row = LogitRow(logits, queries[index], kernels, scratch)
                    row.answer(queries[index], into: &answers[index])
                }
            }
            withExtendedLifetime(scratches) {}
        }
    }
}

/// Memory for what is found out about one row at a time.
private struct LogitScratch {
    /// How many columns' probabilities are added up in float32 before they go into a sum in float64.
    static let chunk = 1024
    // Unsafe: these point into memory of the one thread that uses them.
    let maxima: UnsafeMutablePointer<Float>
    let ranked: UnsafeMutablePointer<Float>
    let sums: UnsafeMutablePointer<Float>
    let values: UnsafeMutablePointer<Float>
    let columns: UnsafeMutablePointer<UInt32>

    private static func blocks(_ count: Int) -> Int {
        (count + Int(LLM_MAXIMA_BLOCK) - 1) / Int(LLM_MAXIMA_BLOCK)
    }
    private static func chunks(_ count: Int) -> Int { (count + chunk - 1) / chunk }

    static func bytes(columns count: Int) -> Int { 4 * (2 * blocks(count) + chunks(count) + 2 * count) }

    /// `memory` holds `bytes(columns:)`.
    init(_ memory: UnsafeMutableRawPointer, columns count: Int) {
        maxima = memory.assumingMemoryBound(to: Float.self)
        ranked = maxima + Self.blocks(count)
        sums = ranked + Self.blocks(count)
        values = sums + Self.chunks(count)
        columns = UnsafeMutableRawPointer(values + count).assumingMemoryBound(to: UInt32.self)
    }
}

/// One row of logits, its largest element and the sum of its probabilities' numerators.
private struct LogitRow {
    private let x: UnsafeMutablePointer<Float>
    private let count: Int
    private let kernels: llm_kernels
    private let scratch: LogitScratch
    private let temperature: Float
    private let scale: Float
    private let top: Float
    /// `Σ exp((x - top) / temperature)`.
    private let sum: Double
    private let normalizer: Float

    /// Edits the row as the query says.
    init(_ logits: Matrix, _ query: LogitQuery, _ kernels: llm_kernels, _ scratch: LogitScratch) {
        (x, count) = (logits.row(query.row), logits.columns)
        (self.kernels, self.scratch) = (kernels, scratch)
        for edit in query.edits { x[edit.column] = edit.applied(to: x[edit.column]) }
        if let allowed = query.allowed { Self.exclude(all: x, count, but: allowed) }
        temperature = query.temperature
        // The inverse of a very small temperature is not finite.
        scale = min(1 / temperature, .greatestFiniteMagnitude)
        top = kernels.block_maxima(x, count, scratch.maxima)
        var sum = 0.0
        for (chunk, start) in stride(from: 0, to: count, by: LogitScratch.chunk).enumerated() {
            let part = kernels.sum_exp(x + start, min(LogitScratch.chunk, count - start), top, scale)
            scratch.sums[chunk] = part
            sum += Double(part)
        }
        (self.sum, normalizer) = (sum, Float(log(sum)))
    }

    /// Makes every column impossible whose bit is clear.
    private static func exclude(all x: UnsafeMutablePointer<Float>, _ count: Int, but allowed: [UInt64]) {
        for start in stride(from: 0, to: count, by: 64) {
            let word = start / 64 < allowed.count ? allowed[start / 64] : 0
            guard word != .max else { continue }
            let end = min(start + 64, count)
            for column in start..<end where word >> UInt64(column - start) & 1 == 0 { x[column] = -.infinity }
        }
    }

    func answer(_ query: LogitQuery, into answer: inout LogitAnswer) {
        switch query.choice {
        case .likeliest: answer.choice = column(findLargest(1) > 0 ? Int(scratch.columns[0]) : 0)
        case .column(let index): answer.choice = column(index)
        case .drawn(let point): answer.choice = column(draw(at: point))
        case .drawnFrom(let nucleus, let point):
            answer.choice = draw(from: nucleus, at: point, &answer.leading)
            if answer.leading.count >= query.leading {
                answer.leading.removeLast(answer.leading.count - query.leading)
                return
            }
        }
        findLeading(query.leading, &answer.leading)
    }

    private func column(_ index: Int) -> LogitAnswer.Column {
        let relative = x[index] == top ? 0 : (x[index] - top) / temperature
        return LogitAnswer.Column(index: index, logProbability: relative - normalizer)
    }

    private func findLeading(_ wanted: Int, _ leading: inout [LogitAnswer.Column]) {
        leading.removeAll(keepingCapacity: true)
        for rank in 0..<findLargest(wanted) { leading.append(column(Int(scratch.columns[rank]))) }
    }

    private func draw(
        from nucleus: Nucleus, at point: Double, _ leading: inout [LogitAnswer.Column]
    ) -> LogitAnswer.Column {
        var nucleus = nucleus
        nucleus.count = min(nucleus.count, count)
        // Few columns mostly have most of the probability.
        let isCut = nucleus.mass < 1 || nucleus.ratio > 0
        let wanted = min(nucleus.count, isCut ? 64 : 512)
        findLeading(wanted, &leading)
        // Fewer are there when some are not numbers.
        if leading.count < wanted { nucleus.count = leading.count }
        if let drawn = nucleus.draw(at: point, from: leading) { return drawn }
        let drawn = sum.isFinite ? drawWidely(from: nucleus, at: point) : nil
        return drawn.map { column($0) } ?? leading.first ?? column(0)
    }

    /// Draws from a nucleus of many columns; nil when rounding leaves the whole sum short of the point.
    private func drawWidely(from nucleus: Nucleus, at point: Double) -> Int? {
        // All that is further below the largest has less probability together than lies outside the nucleus.
        let tail = max(1 - Double(nucleus.mass), 0) * sum
        let farthest = min(Float(log(Double(count) / tail)), -log(nucleus.ratio)) + 0.01
        let found = kernels.collect(x, count, scratch.maxima, top - farthest / scale, scratch.columns)
        let columns = UnsafeBufferPointer(start: scratch.columns, count: found)
        return LogitBins(x, columns, top: top, scale: scale)
            .draw(from: nucleus, most: Double(nucleus.mass) * sum, at: point)
    }

    private func findLargest(_ wanted: Int) -> Int {
        var call = llm_largest(
            x: x, count: count, maxima: scratch.maxima, wanted: min(wanted, count), scratch: scratch.ranked,
            values: scratch.values, columns: scratch.columns)
        return kernels.find_largest(&call)
    }

    /// Where the running sum passes `point`.
    private func draw(at point: Double) -> Int {
        var remaining = point * sum
        var last: Int?
        for (chunk, start) in stride(from: 0, to: count, by: LogitScratch.chunk).enumerated() {
            let part = Double(scratch.sums[chunk])
            guard remaining < part else {
                remaining -= part
                continue
            }
            for index in start..<min(start + LogitScratch.chunk, count) {
                let probability = Double(exp((x[index] - top) * scale))
                if probability > 0 { last = index }
                remaining -= probability
                if remaining < 0 { return index }
            }
        }
        // Rounding may leave the whole sum short of the point, and a sum that is not a number passes none.
        return last ?? (findLargest(1) > 0 ? Int(scratch.columns[0]) : 0)
    }
}
