import CKernels
import Foundation
public import Tensors

extension CPUBackend {
    public func write(_ values: ArraySlice<Float>, into y: Matrix) {
        precondition(values.count == y.rows * y.columns, "\(values.count) values for \(y.rows)x\(y.columns)")
        values.withUnsafeBytes { values in
            guard let start = values.baseAddress else { return }
            for row in 0..<y.rows {
                kernels.dequantize_row(
                    Encoding.float32.kernel, start + 4 * row * y.columns, y.columns, y.row(row))
            }
        }
        withExtendedLifetime(y) {}
    }

    public func gatherRows(_ rows: [Int32], of x: Matrix, into y: Matrix) {
        precondition(y.rows == rows.count && y.columns == x.columns, "gather shapes")
        rows.withUnsafeBufferPointer { sources in
            guard let sources = sources.baseAddress else { return }
            kernels.gather_rows(
                x.row(0), x.rowStride, sources, y.rows, y.columns, y.row(0), y.rowStride)
        }
        withExtendedLifetime((x, y)) {}
    }

    public func add(_ a: Matrix, _ b: Matrix, into y: Matrix) {
        split(rows: y.rows, cost: y.columns) { rows in
            let first = rows.lowerBound
            kernels.add(
                a.row(first), a.rowStride, b.row(first), b.rowStride, rows.count, y.columns, y.row(first),
                y.rowStride)
        }
    }

    public func rmsNorm(_ x: Matrix, weight: Matrix, epsilon: Float, into y: Matrix) {
        split(rows: x.rows, cost: 2 * x.columns) { rows in
            var norm = llm_norm(x, rows, weight: weight, epsilon: epsilon, y)
            kernels.rms_norm(&norm)
        }
        withExtendedLifetime(weight) {}
    }

    public func addThenRMSNorm(
        _ x: Matrix, _ delta: Matrix, weight: Matrix, epsilon: Float
    ) -> (sum: Matrix, normed: Matrix) {
        let sum = makeMatrix(rows: x.rows, columns: x.columns)
        let normed = makeMatrix(rows: x.rows, columns: x.columns)
        split(rows: x.rows, cost: 3 * x.columns) { rows in
            var norm = llm_norm(x, rows, weight: weight, epsilon: epsilon, normed)
            let first = rows.lowerBound
            kernels.add_rms_norm(&norm, delta.row(first), delta.rowStride, sum.row(first), sum.rowStride)
        }
        withExtendedLifetime(weight) {}
        return (sum, normed)
    }

    public func layerNorm(_ x: Matrix, weight: Matrix, bias: Matrix?, epsilon: Float, into y: Matrix) {
        split(rows: x.rows, cost: 3 * x.columns) { rows in
            var norm = llm_norm(x, rows, weight: weight, epsilon: epsilon, y)
            norm.bias = bias.map { UnsafePointer($0.row(0)) }
            kernels.layer_norm(&norm)
        }
        withExtendedLifetime((weight, bias)) {}
    }

    /// To a kernel the heads of a row are rows; those that have weights of their own are taken from all rows.
    public func normalizeHeads(
        _ x: Matrix, heads: Int, by statistic: HeadStatistic, weight: Matrix, epsilon: Float
    ) {
        let width = x.columns / heads
        let sharesWeight = weight.columns == width
        precondition(sharesWeight || weight.columns == x.columns, "\(weight.columns) weights for heads")
        let kernel = statistic == .rootMeanSquare ? kernels.rms_norm : kernels.layer_norm
        split(rows: x.rows, cost: 3 * x.columns) { rows in
            for index in sharesWeight ? rows : 0..<heads {
                let start = sharesWeight ? x.row(index) : x.row(rows.lowerBound) + index * width
                var norm = llm_norm(
                    x: start, x_stride: sharesWeight ? width : x.rowStride,
                    rows: sharesWeight ? heads : rows.count, columns: width,
                    weight: weight.row(0) + (sharesWeight ? 0 : index * width), bias: nil, epsilon: epsilon,
                    y: start, y_stride: sharesWeight ? width : x.rowStride)
                kernel(&norm)
            }
        }
        withExtendedLifetime(weight) {}
    }

    public func scale(_ x: Matrix, by factors: [Float]) {
        split(rows: x.rows, cost: x.columns) { rows in
            factors[rows].withUnsafeBufferPointer { factors in
                guard let factors = factors.baseAddress else { return }
                kernels.scale_rows(x.row(rows.lowerBound), x.rowStride, rows.count, x.columns, factors)
            }
        }
    }

    public func scale(_ x: Matrix, bySigmoidOf gate: Matrix) {
        scale(x, by: (0..<x.rows).map { 1 / (1 + exp(-gate.row($0)[0])) })
    }

    public func scaleColumns(_ x: Matrix, by factors: Matrix) {
        split(rows: x.rows, cost: x.columns) { rows in
            kernels.scale_columns(
                x.row(rows.lowerBound), x.rowStride, rows.count, x.columns, factors.row(0))
        }
        withExtendedLifetime(factors) {}
    }

    public func clamp(_ x: Matrix, to range: ClosedRange<Float>) {
        split(rows: x.rows, cost: x.columns) { rows in
            kernels.clamp_rows(
                x.row(rows.lowerBound), x.rowStride, rows.count, x.columns, range.lowerBound,
                range.upperBound)
        }
    }

    public func softcap(_ x: Matrix, at cap: Float) {
        split(rows: x.rows, cost: 8 * x.columns) { rows in
            for row in rows { kernels.soft_cap(x.row(row), x.columns, cap) }
        }
    }

    public func activate(_ x: Matrix, _ function: Activation, into y: Matrix) {
        split(rows: y.rows, cost: 8 * y.columns) { rows in
            let first = rows.lowerBound
            kernels.activate(
                function.kernel, x.row(first), x.rowStride, rows.count, y.columns, y.row(first), y.rowStride)
        }
    }

    public func gated(_ gate: Matrix, _ up: Matrix, _ function: Activation, into y: Matrix) {
        split(rows: y.rows, cost: 8 * y.columns) { rows in
            let first = rows.lowerBound
            kernels.gated(
                function.kernel, gate.row(first), gate.rowStride, up.row(first), up.rowStride, rows.count,
                y.columns, y.row(first), y.rowStride)
        }
    }

    public func rotate(_ x: Matrix, heads: Int, by table: RotationTable) {
        split(rows: x.rows, cost: x.columns) { rotate(x, rows: $0, heads: heads, by: table) }
    }

    func rotate(_ x: Matrix, rows: Range<Int>, heads: Int, by table: RotationTable) {
        let (rotation, first) = (table.rotation, rows.lowerBound)
        var call = llm_rotation(
            x: x.row(first), x_stride: x.rowStride, rows: rows.count, heads: heads,
            head_width: x.columns / heads, first_column: rotation.columns.lowerBound,
            pairs: rotation.pairs, neighbours: rotation.pairing == .neighbours,
            cosines: table.cosines.row(first), sines: table.sines.row(first),
            table_stride: table.cosines.rowStride)
        kernels.rotate(&call)
    }
}

extension llm_norm {
    fileprivate init(_ x: Matrix, _ rows: Range<Int>, weight: Matrix, epsilon: Float, _ y: Matrix) {
        self.init(
            x: x.row(rows.lowerBound), x_stride: x.rowStride, rows: rows.count, columns: x.columns,
            weight: weight.row(0), bias: nil, epsilon: epsilon, y: y.row(rows.lowerBound),
            y_stride: y.rowStride)
    }
}
