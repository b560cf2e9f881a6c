import Foundation
public import Tensors

/// The backend that says what every operation means: plain loops, sums in double. Others are tested against
/// it. Weights must be float32, float16 or bfloat16.
public final class ReferenceBackend: Backend {
    public let name = "reference"

    public init() {}

    public func makeMatrix(rows: Int, columns: Int) -> Matrix {
        let address = UnsafeMutableRawPointer.allocate(byteCount: max(4 * rows * columns, 1), alignment: 64)
        return Matrix(
            rows: rows, columns: columns, backend: self,
            buffer: OwnedBuffer(address: address) { $0.deallocate() })
    }

    public func makeVector(_ parts: [HostWeight]) -> Matrix {
        let values = parts.flatMap(\.values)
        let y = makeMatrix(rows: 1, columns: values.count)
        y[0] = values
        return y
    }

    public func makeWeight(_ parts: [HostWeight]) -> WeightMatrix {
        WeightMatrix(
            inputs: parts.first?.inputs ?? 0,
            parts: parts.map { part in
                let vector = makeVector([part])
                return WeightMatrix.Part(outputs: part.outputs, encoding: .float32, buffer: vector.buffer)
            })
    }

    public func makeTable(_ weight: HostWeight) -> EmbeddingTable {
        EmbeddingTable(
            rows: weight.outputs, columns: weight.inputs, encoding: .float32,
            buffer: makeVector([weight]).buffer)
    }

    public func makeRotationTable(_ rotation: Rotation, positions: [Int32], lengths: [Int32]) -> RotationTable
    {
        let cosines = makeMatrix(rows: lengths.count, columns: rotation.pairs)
        let sines = makeMatrix(rows: lengths.count, columns: rotation.pairs)
        for row in lengths.indices {
            let angles = rotation.frequencies(atLength: Int(lengths[row])).enumerated().map {
                pair, frequency in
                Float(positions[row + (rotation.axes?[pair] ?? 0) * lengths.count]) * frequency
            }
            let magnitude = rotation.magnitude(atLength: Int(lengths[row]))
            cosines[row] = angles.map { cos($0) * magnitude }
            sines[row] = angles.map { sin($0) * magnitude }
        }
        return RotationTable(rotation: rotation, cosines: cosines, sines: sines)
    }

    public func linear(_ x: Matrix, _ weight: WeightMatrix, bias: Matrix?, into y: Matrix) {
        let rows = weight.rows
        for row in 0..<x.rows {
            let input = x[row]
            y[row] = rows.enumerated().map { output, weights in
                Float(dot(input[...], weights[...]) + Double(bias?[0][output] ?? 0))
            }
        }
    }

    public func embed(_ tokens: [Int32], _ table: EmbeddingTable, into y: Matrix) {
        let part = WeightMatrix.Part(outputs: table.rows, encoding: table.encoding, buffer: table.buffer)
        let rows = WeightMatrix(inputs: table.columns, parts: [part]).rows
        for (row, token) in tokens.enumerated() { y[row] = rows[Int(token)] }
    }

    public func write(_ values: ArraySlice<Float>, into y: Matrix) {
        for row in 0..<y.rows { y[row] = Array(values.dropFirst(row * y.columns).prefix(y.columns)) }
    }

    public func gatherRows(_ rows: [Int32], of x: Matrix, into y: Matrix) {
        for (target, source) in rows.enumerated() { y[target] = x[Int(source)] }
    }

    public func add(_ a: Matrix, _ b: Matrix, into y: Matrix) {
        for row in 0..<y.rows { y[row] = zip(a[row], b[row]).map { $0 + $1 } }
    }

    public func rmsNorm(_ x: Matrix, weight: Matrix, epsilon: Float, into y: Matrix) {
        for row in 0..<x.rows {
            let values = x[row]
            let meanSquare = values.reduce(0.0) { $0 + Double($1) * Double($1) } / Double(values.count)
            let scale = 1 / (meanSquare + Double(epsilon)).squareRoot()
            y[row] = zip(values, weight[0]).map { Float(Double($0) * scale * Double($1)) }
        }
    }

    public func layerNorm(_ x: Matrix, weight: Matrix, bias: Matrix?, epsilon: Float, into y: Matrix) {
        for row in 0..<x.rows {
            let normed = deviations(x[row], epsilon)
            y[row] = normed.indices.map {
                Float(normed[$0] * Double(weight[0][$0]) + Double(bias?[0][$0] ?? 0))
            }
        }
    }

    public func normalizeHeads(
        _ x: Matrix, heads: Int, by statistic: HeadStatistic, weight: Matrix, epsilon: Float
    ) {
        let width = x.columns / heads
        for head in 0..<heads {
            let part = x.columns(head * width..<(head + 1) * width)
            let own = weight.columns == width ? weight : weight.columns(head * width..<(head + 1) * width)
            switch statistic {
            case .rootMeanSquare: rmsNorm(part, weight: own, epsilon: epsilon, into: part)
            case .deviation: layerNorm(part, weight: own, bias: nil, epsilon: epsilon, into: part)
            }
        }
    }

    /// What remains of the values without their mean, over their standard deviation.
    private func deviations(_ values: [Float], _ epsilon: Float) -> [Double] {
        let mean = values.reduce(0.0) { $0 + Double($1) } / Double(values.count)
        let variance = values.reduce(0.0) { $0 + (Double($1) - mean) * (Double($1) - mean) }
        let scale = 1 / (variance / Double(values.count) + Double(epsilon)).squareRoot()
        return values.map { (Double($0) - mean) * scale }
    }

    public func scaleColumns(_ x: Matrix, by factors: Matrix) {
        for row in 0..<x.rows { x[row] = zip(x[row], factors[0]).map { $0 * $1 } }
    }

    public func scale(_ x: Matrix, by factors: [Float]) {
        for row in 0..<x.rows { x[row] = x[row].map { $0 * factors[row] } }
    }

    public func scale(_ x: Matrix, bySigmoidOf gate: Matrix) {
        for row in 0..<x.rows {
            let factor = 1 / (1 + exp(-Double(gate[row][0])))
            x[row] = x[row].map { Float(Double($0) * factor) }
        }
    }

    public func clamp(_ x: Matrix, to range: ClosedRange<Float>) {
        for row in 0..<x.rows { x[row] = x[row].map { min(max($0, range.lowerBound), range.upperBound) } }
    }

    public func softcap(_ x: Matrix, at cap: Float) {
        for row in 0..<x.rows { x[row] = x[row].map { Float(Double(cap) * tanh(Double($0) / Double(cap))) } }
    }

    public func activate(_ x: Matrix, _ function: Activation, into y: Matrix) {
        for row in 0..<y.rows { y[row] = x[row].map { Float(activated(Double($0), function)) } }
    }

    public func rotate(_ x: Matrix, heads: Int, by table: RotationTable) {
        let (rotation, width) = (table.rotation, x.columns / heads)
        for row in 0..<x.rows {
            var values = x[row]
            let (cosines, sines) = (table.cosines[row], table.sines[row])
            for head in 0..<heads {
                let start = head * width + rotation.columns.lowerBound
                for pair in 0..<rotation.pairs {
                    let isHalves = rotation.pairing == .halves
                    let a = start + (isHalves ? pair : 2 * pair)
                    let b = isHalves ? a + rotation.pairs : a + 1
                    let (first, second) = (values[a], values[b])
                    values[a] = first * cosines[pair] - second * sines[pair]
                    values[b] = second * cosines[pair] + first * sines[pair]
                }
            }
            x[row] = values
        }
    }

    public func gated(_ gate: Matrix, _ up: Matrix, _ function: Activation, into y: Matrix) {
        for row in 0..<y.rows {
            y[row] = zip(gate[row], up[row]).map { Float(activated(Double($0), function) * Double($1)) }
        }
    }

    public func read(_ x: Matrix, row: Int, into host: inout [Float]) { host = x[row] }

    private func activated(_ x: Double, _ function: Activation) -> Double {
        switch function {
        case .silu: x / (1 + exp(-x))
        case .gelu: x / 2 * (1 + erf(x / 2.0.squareRoot()))
        case .geluTanh: x / 2 * (1 + tanh((2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x)))
        case .relu: max(x, 0)
        case .quickGelu: x / (1 + exp(-1.702 * x))
        }
    }
}

func dot(_ a: ArraySlice<Float>, _ b: ArraySlice<Float>) -> Double {
    zip(a, b).reduce(0.0) { $0 + Double($1.0) * Double($1.1) }
}

extension Matrix {
    /// The values of one row.
    subscript(row: Int) -> [Float] {
        get { Array(UnsafeBufferPointer(start: address(row), count: columns)) }
        nonmutating set { address(row).update(from: newValue, count: columns) }
    }

    private func address(_ row: Int) -> UnsafeMutablePointer<Float> {
        buffer.address.assumingMemoryBound(to: Float.self) + offset + row * rowStride
    }
}

extension WeightMatrix {
    /// The values of every output's row.
    fileprivate var rows: [[Float]] {
        parts.flatMap { part in
            let start = part.buffer.address.assumingMemoryBound(to: Float.self)
            return (0..<part.outputs).map {
                Array(UnsafeBufferPointer(start: start + $0 * inputs, count: inputs))
            }
        }
    }
}

extension HostWeight {
    fileprivate var values: [Float] {
        (0..<outputs * inputs).map { index in
            switch encoding {
            case .float32: bytes.bytes.loadUnaligned(fromByteOffset: 4 * index, as: Float.self)
            case .float16: bytes.bytes.loadUnaligned(fromByteOffset: 2 * index, as: UInt16.self).asFloat16
            case .bfloat16:
                Float(
                    bitPattern: UInt32(bytes.bytes.loadUnaligned(fromByteOffset: 2 * index, as: UInt16.self))
                        << 16)
            default: preconditionFailure("the reference backend takes no \(encoding) weights")
            }
        }
    }
}

extension UInt16 {
    /// The float16 with these bits.
    fileprivate var asFloat16: Float {
        let sign: Float = self & 0x8000 == 0 ? 1 : -1
        let (exponent, fraction) = (Int(self >> 10 & 31), Float(self & 1023))
        switch exponent {
        case 0: return sign * fraction * 0x1p-24
        case 31: return fraction == 0 ? sign * .infinity : .nan
        default:
            return sign * (1 + fraction / 1024) * Float(sign: .plus, exponent: exponent - 15, significand: 1)
        }
    }
}
