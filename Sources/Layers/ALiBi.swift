import Foundation

/// Attention with linear biases, arXiv 2108.12409.
public enum ALiBi {
    /// The slope of each head: a geometric series from `2^(-8/n)` for a power of two `n`; for other numbers of
    /// heads that of the next lower one, then every other term of the next higher one's.
    public static func slopes(heads: Int) -> [Float] {
        func series(_ count: Int) -> [Float] {
            let ratio = pow(2, -8 / Double(count))
            return (1...count).map { Float(pow(ratio, Double($0))) }
        }
        let power = 1 << (Int.bitWidth - 1 - heads.leadingZeroBitCount)
        guard power < heads else { return series(heads) }
        let between = stride(from: 0, to: 2 * (heads - power), by: 2).map { series(2 * power)[$0] }
        return series(power) + between
    }
}
