import Tensors

/// Values that look random and are the same every time.
struct Noise {
    private var state: UInt64
    init(_ seed: Int) { state = UInt64(seed) &* 0x9E37_79B9_7F4A_7C15 &+ 1 }

    mutating func next() -> Float {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return Float(Int64(bitPattern: state) >> 40) / Float(1 << 23)
    }

    mutating func floats(_ count: Int) -> [Float] { (0..<count).map { _ in next() } }
}

extension Backend {
    /// `values` as rows.
    func matrix(_ values: [Float], columns: Int) -> Matrix {
        let flat = makeVector([hostWeight(values, columns: values.count, .float32)])
        return Matrix(rows: values.count / columns, columns: columns, backend: self, buffer: flat.buffer)
    }

    func values(_ x: Matrix) -> [Float] {
        var (all, row) = ([Float](), [Float]())
        for index in 0..<x.rows {
            read(x, row: index, into: &row)
            all += row
        }
        return all
    }
}

/// Rows of `columns` values; with 16 bits they are cut off, not rounded.
func hostWeight(_ values: [Float], columns: Int, _ encoding: Encoding) -> HostWeight {
    let bytes: [UInt8] =
        switch encoding {
        case .float32: values.withUnsafeBytes { Array($0) }
        case .bfloat16: values.map { UInt16($0.bitPattern >> 16) }.withUnsafeBytes { Array($0) }
        default: values.map { Float16($0) }.withUnsafeBytes { Array($0) }
        }
    return HostWeight(
        outputs: values.count / columns, inputs: columns, encoding: encoding, bytes: HostBytes(copying: bytes)
    )
}

/// The largest difference, relative to values above 1; infinite when there is something that is no number.
func largestError(_ a: [Float], _ b: [Float]) -> Double {
    guard a.count == b.count else { return .infinity }
    return zip(a, b).reduce(0.0) { worst, pair in
        let error = Double(abs(pair.0 - pair.1) / max(1, abs(pair.1)))
        return error.isNaN ? .infinity : max(worst, error)
    }
}

/// The root of the mean square of the differences, relative to that of `b`; 0 where there is nothing to compare.
func meanError(_ a: [Float], _ b: [Float]) -> Double {
    guard a.count == b.count else { return .infinity }
    var (difference, size) = (0.0, 0.0)
    for (x, y) in zip(a, b) {
        difference += Double((x - y) * (x - y))
        size += Double(y * y)
    }
    guard !difference.isNaN else { return .infinity }
    return difference == 0 ? 0 : (difference / size).squareRoot()
}
