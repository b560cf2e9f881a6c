import Tensors

/// 32-bit words of a checkpoint, a matrix or a vector.
struct PackedWords: Sendable {
    let shape: [Int]
    /// Four for each element; not aligned.
    let bytes: HostBytes

    subscript(index: Int) -> Int32 {
        Int32(littleEndian: bytes.bytes.loadUnaligned(fromByteOffset: 4 * index, as: Int32.self))
    }
}

/// A matrix of small numbers without sign, `rows` x `columns`, several to a word along one of the two.
struct PackedNumbers: Sendable {
    enum Axis { case rows, columns }

    private let words: PackedWords
    private let wordColumns: Int
    /// Numbers of a word are neighbours along the rows or the columns: the base-2 logarithm of how many.
    private let rowShift: Int
    private let columnShift: Int
    /// How far right in its word each number lies.
    private let shifts: [Int32]
    private let mask: Int32

    /// AWQ's order: where in a word each of eight neighbours lies.
    static let interleaved = [0, 4, 1, 5, 2, 6, 3, 7]

    /// Nil unless `words` has the shape for `rows` x `columns` numbers of `bits` (4 or 8) bits. `order` says where
    /// in a word each neighbour lies.
    init?(_ words: PackedWords, rows: Int, columns: Int, along axis: Axis, bits: Int, order: [Int]? = nil) {
        let count = 32 / bits
        let packed = axis == .rows ? rows : columns
        let expected = axis == .rows ? [rows / count, columns] : [rows, columns / count]
        guard packed.isMultiple(of: count), words.shape == expected else { return nil }
        self.words = words
        wordColumns = expected[1]
        rowShift = axis == .rows ? count.trailingZeroBitCount : 0
        columnShift = axis == .columns ? count.trailingZeroBitCount : 0
        shifts = (order ?? Array(0..<count)).map { Int32($0 * bits) }
        mask = Int32(1) << Int32(bits) - 1
    }

    subscript(row: Int, column: Int) -> Int32 {
        let word = words[(row >> rowShift) * wordColumns + column >> columnShift]
        let place = (row & (1 << rowShift - 1)) + (column & (1 << columnShift - 1))
        return (word >> shifts[place]) & mask
    }
}
