/// Rotary position embedding of the columns of each head, RoFormer (arXiv 2104.09864).
///
/// Pair `i` of a head turns by `position * frequencies[i]`; cosine and sine are multiplied by `magnitude`.
public final class Rotation: Sendable {
    /// Which columns of a head form pair `i`.
    public enum Pairing: Sendable {
        /// `i` and `i + pairs` ("rotate half", Hugging Face).
        case halves
        /// `2i` and `2i + 1` (the paper, GPT-J).
        case neighbours
    }

    /// Frequencies may depend on how long the sequence is.
    public enum Frequencies: Sendable {
        case fixed([Float])
        /// Called with the sequence's length so far.
        case byLength(@Sendable (Int) -> [Float])
    }

    public let frequencies: Frequencies
    public let magnitude: Float
    /// Another magnitude, of sequences longer than a length.
    public let longer: (than: Int, magnitude: Float)?
    /// For each pair the axis whose position it turns by, where tokens have positions on several; nil for one.
    public let axes: [Int]?
    /// The rotated columns of each head; half as many pairs.
    public let columns: Range<Int>
    public let pairing: Pairing

    public init(
        frequencies: Frequencies, magnitude: Float = 1, longer: (than: Int, magnitude: Float)? = nil,
        columns: Range<Int>, pairing: Pairing, axes: [Int]? = nil
    ) {
        (self.longer, self.axes) = (longer, axes)
        precondition(columns.count.isMultiple(of: 2), "\(columns.count) rotated columns do not pair up")
        precondition(axes.map { $0.count == columns.count / 2 } ?? true, "an axis for each pair")
        (self.frequencies, self.magnitude) = (frequencies, magnitude)
        (self.columns, self.pairing) = (columns, pairing)
    }

    public var pairs: Int { columns.count / 2 }

    /// On how many axes tokens have positions.
    public var axisCount: Int { (axes?.max() ?? 0) + 1 }

    /// Whether sequences of both lengths are rotated alike.
    public func isSame(atLength a: Int, _ b: Int) -> Bool {
        guard magnitude(atLength: a) == magnitude(atLength: b) else { return false }
        return switch frequencies {
        case .fixed: true
        case .byLength(let values): values(a) == values(b)
        }
    }

    /// What cosines and sines of a sequence of `length` tokens are multiplied with.
    public func magnitude(atLength length: Int) -> Float {
        if let longer, length > longer.than { longer.magnitude } else { magnitude }
    }

    /// The frequencies for a sequence of `length` tokens.
    public func frequencies(atLength length: Int) -> [Float] {
        switch frequencies {
        case .fixed(let values): values
        case .byLength(let values): values(length)
        }
    }
}

/// Cosines and sines for every row of a step: `rows` x `pairs` each.
public struct RotationTable: Sendable {
    public let rotation: Rotation
    public let cosines: Matrix
    public let sines: Matrix

    public init(rotation: Rotation, cosines: Matrix, sines: Matrix) {
        (self.rotation, self.cosines, self.sines) = (rotation, cosines, sines)
    }
}
