/// What a model made of an image: a row for each of its tokens, which takes the place of the token's vector.
public final class ImageFeatures: Sendable {
    public let rows: Int
    public let columns: Int
    /// Row by row.
    public let values: [Float]

    public init(rows: Int, columns: Int, values: [Float]) {
        precondition(values.count == rows * columns, "\(values.count) values for \(rows)x\(columns)")
        (self.rows, self.columns, self.values) = (rows, columns, values)
    }

    public subscript(rows range: Range<Int>) -> ArraySlice<Float> {
        values[range.lowerBound * columns..<range.upperBound * columns]
    }
}
