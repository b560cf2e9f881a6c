/// Activations: one row per token, one column per feature, in float32.
///
/// Rows may be strided, a row is always contiguous. That one freedom is what makes `columns(_:)` a view,
/// so a fused q/k/v projection is split without copying.
public struct Matrix: Sendable {
    public let rows: Int
    public let columns: Int
    /// Elements from the start of a row to the start of the next.
    public let rowStride: Int
    public let backend: any Backend
    public let buffer: Buffer
    /// Elements before the first one.
    public let offset: Int

    public init(
        rows: Int, columns: Int, rowStride: Int? = nil, backend: any Backend, buffer: Buffer, offset: Int = 0
    ) {
        (self.rows, self.columns, self.rowStride) = (rows, columns, rowStride ?? columns)
        (self.backend, self.buffer, self.offset) = (backend, buffer, offset)
    }

    /// The same rows, restricted to `range` of the columns. Shares memory.
    public func columns(_ range: Range<Int>) -> Matrix {
        precondition(range.lowerBound >= 0 && range.upperBound <= columns, "columns \(range) of \(columns)")
        return Matrix(
            rows: rows, columns: range.count, rowStride: rowStride, backend: backend, buffer: buffer,
            offset: offset + range.lowerBound)
    }

    /// Some of the rows. Shares memory.
    public func rows(_ range: Range<Int>) -> Matrix {
        precondition(range.lowerBound >= 0 && range.upperBound <= rows, "rows \(range) of \(rows)")
        return Matrix(
            rows: range.count, columns: columns, rowStride: rowStride, backend: backend, buffer: buffer,
            offset: offset + range.lowerBound * rowStride)
    }

    /// The same numbers as rows of `columns`, which divides or is a multiple of how many there are now. Shares memory;
    /// rows must lie side by side.
    public func reshaped(columns newColumns: Int) -> Matrix {
        precondition(
            rowStride == columns && (rows * columns).isMultiple(of: newColumns), "rows of \(newColumns)")
        return Matrix(
            rows: rows * columns / newColumns, columns: newColumns, backend: backend, buffer: buffer,
            offset: offset)
    }

    /// Cuts the columns into consecutive parts of the given widths. Shares memory.
    public func split(_ widths: Int...) -> [Matrix] {
        var start = 0
        return widths.map { width in
            defer { start += width }
            return columns(start..<start + width)
        }
    }

    /// Takes the values of `x`, which has the same shape.
    public func copy(_ x: Matrix) { backend.copy(x, into: self) }

    public static func + (a: Matrix, b: Matrix) -> Matrix {
        let sum = a.backend.makeMatrix(rows: a.rows, columns: a.columns)
        a.backend.add(a, b, into: sum)
        return sum
    }
}
