import CKernels
import Foundation
import Tensors

/// A row of logits sorted coarsely, for a nucleus of many columns: only the bins in which it ends and into which
/// the draw falls are sorted in full.
struct LogitBins {
    private let x: UnsafeMutablePointer<Float>
    private let count: Int
    private let maxima: UnsafeMutablePointer<Float>
    private let top: Float
    private let scale: Float
    /// The sum of `sums`.
    private let sum: Double
    private var counts = [UInt32](repeating: 0, count: Int(LLM_BINS))
    private var sums = [Double](repeating: 0, count: Int(LLM_BINS))

    /// `maxima` are those that `block_maxima` found in the `count` logits at `x`; both must outlive this.
    init(
        x: UnsafeMutablePointer<Float>, count: Int, maxima: UnsafeMutablePointer<Float>, top: Float,
        scale: Float, sum: Double, kernels: llm_kernels
    ) {
        (self.x, self.count, self.maxima) = (x, count, maxima)
        (self.top, self.scale, self.sum) = (top, scale, sum)
        kernels.bin_exp(x, count, top, scale, &counts, &sums)
    }

    /// The column where the running sum of probabilities, likeliest first, passes `point` of the nucleus; nil
    /// when rounding leaves the whole sum short of it.
    func draw(from nucleus: Nucleus, at point: Double) -> Int? {
        let most = Double(nucleus.mass) * sum
        let lowest = nucleus.ratio > 0 ? log(nucleus.ratio) : -.infinity
        // The bins that belong to it as a whole.
        var (end, kept, mass) = (0, 0, 0.0)
        while end < sums.count - 1, kept + Int(counts[end]) <= nucleus.count, mass + sums[end] <= most,
            -Float(end + 1) / Float(LLM_BINS_PER_UNIT) >= lowest
        {
            kept += Int(counts[end])
            mass += sums[end]
            end += 1
        }
        var rest = columns(of: end)
        let first = rest.firstIndex { column in
            guard kept < nucleus.count, mass <= most, relative(column) >= lowest else { return true }
            kept += 1
            mass += numerator(column)
            return false
        }
        rest.removeSubrange((first ?? rest.count)...)
        var remaining = point * mass
        for bin in 0..<end {
            if remaining < sums[bin] { return pick(columns(of: bin), at: remaining) }
            remaining -= sums[bin]
        }
        return pick(rest, at: remaining)
    }

    private func pick(_ columns: [Int], at sum: Double) -> Int? {
        var remaining = sum
        for column in columns {
            remaining -= numerator(column)
            if remaining < 0 { return column }
        }
        return columns.last
    }

    private func relative(_ column: Int) -> Float { (x[column] - top) * scale }

    private func numerator(_ column: Int) -> Double { Double(exp(relative(column))) }

    /// Where a logit lies among the bins: its bin, not rounded. Larger logits do not come later.
    private func place(_ logit: Float) -> Float { (top - logit) * scale * Float(LLM_BINS_PER_UNIT) }

    /// The columns in a bin, likeliest first.
    private func columns(of wanted: Int) -> [Int] {
        var columns: [Int] = []
        columns.reserveCapacity(Int(counts[wanted]))
        let (width, first) = (Int(LLM_MAXIMA_BLOCK), Float(wanted))
        let next = wanted < sums.count - 1 ? Float(wanted + 1) : .infinity
        for start in stride(from: 0, to: count, by: width) where place(maxima[start / width]) < next {
            for column in start..<min(start + width, count) {
                let place = place(x[column])
                if place >= first, place < next { columns.append(column) }
            }
        }
        columns.sort { x[$0] > x[$1] || (x[$0] == x[$1] && $0 < $1) }
        return columns
    }
}
