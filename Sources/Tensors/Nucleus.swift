import Foundation

/// The likeliest columns of a row, as top-k, top-p and min-p cut them off. The first always belongs to it.
public struct Nucleus: Sendable, Equatable {
    /// The most columns.
    public var count: Int
    /// A column belongs to it while those before have no more than this probability together (arXiv 1904.09751).
    public var mass: Float
    /// A column belongs to it when it is at least this likely, relative to the first.
    public var ratio: Float

    public init(count: Int, mass: Float, ratio: Float) {
        (self.count, self.mass, self.ratio) = (count, mass, ratio)
    }

    /// Draws in proportion to probability: the column where the running sum passes `point` of the whole.
    /// `leading` are the likeliest columns; nil when they are fewer than the nucleus may have, and too few to
    /// tell where it ends.
    public func draw(at point: Double, from leading: [LogitAnswer.Column]) -> LogitAnswer.Column? {
        guard let first = leading.first else { return nil }
        let least = ratio > 0 ? first.logProbability + log(ratio) : -.infinity
        var (kept, sum) = (0, 0.0)
        for column in leading.prefix(count) {
            if kept > 0, sum > Double(mass) || column.logProbability < least {
                return pick(leading[..<kept], at: point * sum)
            }
            kept += 1
            sum += Double(exp(column.logProbability))
        }
        return kept == count ? pick(leading[..<kept], at: point * sum) : nil
    }

    private func pick(_ columns: ArraySlice<LogitAnswer.Column>, at sum: Double) -> LogitAnswer.Column? {
        var remaining = sum
        for column in columns {
            remaining -= Double(exp(column.logProbability))
            if remaining < 0 { return column }
        }
        // Rounding left the whole sum short.
        return columns.last { $0.logProbability > -.infinity } ?? columns.first
    }
}
