import Foundation
import Tensors

/// Columns of a row of logits sorted coarsely, for a nucleus of many: only the bins in which it ends and into
/// which the draw falls are sorted in full.
struct LogitBins {
    /// Bins for each unit of the exponent, and all of them; the last takes what is left.
    private static let (density, count) = (Float(16), 512)
    // Unsafe: points to the row, which outlives this.
    private let x: UnsafeMutablePointer<Float>
    private let top: Float
    private let scale: Float
    /// The columns, bin by bin.
    private var columns: [UInt32]
    /// Where each bin begins among `columns`, and where the last ends.
    private var starts = [Int](repeating: 0, count: count + 1)
    /// For each bin `Σ exp((x - top) * scale)`.
    private var sums = [Double](repeating: 0, count: count)

    /// `unsorted` are columns of the row at `x`; none is a not-a-number or larger than `top`.
    init(
        _ x: UnsafeMutablePointer<Float>, _ unsorted: UnsafeBufferPointer<UInt32>, top: Float, scale: Float
    ) {
        (self.x, self.top, self.scale) = (x, top, scale)
        columns = [UInt32](repeating: 0, count: unsorted.count)
        for column in unsorted {
            let bin = bin(column)
            starts[bin + 1] += 1
            sums[bin] += numerator(column)
        }
        for bin in 0..<Self.count { starts[bin + 1] += starts[bin] }
        var next = starts
        for column in unsorted {
            let bin = bin(column)
            columns[next[bin]] = column
            next[bin] += 1
        }
    }

    /// The column where the running sum of numerators, likeliest first, passes `point` of the nucleus, whose
    /// columns have `most` together before the last; nil when rounding leaves the whole sum short of it.
    func draw(from nucleus: Nucleus, most: Double, at point: Double) -> Int? {
        let lowest = nucleus.ratio > 0 ? log(nucleus.ratio) : -.infinity
        // The bins that belong to it as a whole.
        var (end, mass) = (0, 0.0)
        while end < Self.count - 1, starts[end + 1] <= nucleus.count, mass + sums[end] <= most,
            -Float(end + 1) / Self.density >= lowest
        {
            mass += sums[end]
            end += 1
        }
        var rest = sorted(end)
        var kept = 0
        while kept < rest.count, starts[end] + kept < nucleus.count, mass <= most,
            relative(rest[kept]) >= lowest
        {
            mass += numerator(rest[kept])
            kept += 1
        }
        rest.removeLast(rest.count - kept)
        var remaining = point * mass
        for bin in 0..<end {
            if remaining < sums[bin] { return pick(sorted(bin), at: remaining) }
            remaining -= sums[bin]
        }
        return pick(rest, at: remaining)
    }

    private func pick(_ columns: [UInt32], at sum: Double) -> Int? {
        var remaining = sum
        for column in columns {
            remaining -= numerator(column)
            if remaining < 0 { return Int(column) }
        }
        return columns.last.map { Int($0) }
    }

    private func relative(_ column: UInt32) -> Float { (x[Int(column)] - top) * scale }

    private func numerator(_ column: UInt32) -> Double { Double(exp(relative(column))) }

    private func bin(_ column: UInt32) -> Int {
        Int(min(-relative(column) * Self.density, Float(Self.count - 1)))
    }

    /// The columns of a bin, likeliest first.
    private func sorted(_ bin: Int) -> [UInt32] {
        columns[starts[bin]..<starts[bin + 1]].sorted {
            let (a, b) = (x[Int($0)], x[Int($1)])
            return a > b || (a == b && $0 < $1)
        }
    }
}
