import CUDARuntime
import Synchronization
public import Tensors

extension CUDABackend {
    /// Threads for a row; of the columns alone, as sums depend on it.
    private func block(columns: Int) -> Extent { Extent(min(max((columns + 31) / 32 * 32, 32), 1024)) }

    public func gatherRows(_ rows: [Int32], of x: Matrix, into y: Matrix) {
        precondition(y.rows == rows.count && y.columns == x.columns, "gather shapes")
        gather(upload(rows), of: x, into: y)
    }

    public func copy(_ x: Matrix, into y: Matrix) {
        precondition(y.rows == x.rows && y.columns == x.columns, "copy shapes")
        gather(nil, of: x, into: y)
    }

    private func gather(_ indices: DeviceBuffer?, of x: Matrix, into y: Matrix) {
        launch(
            "gather_rows", Extent(y.rows), block(columns: y.columns),
            [
                .address(indices?.address), .address(x.start), .long(x.rowStride), .address(target(y)),
                .long(y.rowStride), .int(y.columns),
            ])
    }

    public func write(_ values: ArraySlice<Float>, into y: Matrix) {
        precondition(values.count == y.rows * y.columns, "\(values.count) values for \(y.rows)x\(y.columns)")
        let copy = Matrix(
            rows: y.rows, columns: y.columns, backend: self, buffer: upload(Array(values)))
        self.copy(copy, into: y)
    }

    public func add(_ a: Matrix, _ b: Matrix, into y: Matrix) {
        launch(
            "add_rows", Extent(y.rows), block(columns: y.columns),
            [
                .address(a.start), .long(a.rowStride), .address(b.start), .long(b.rowStride),
                .address(target(y)),
                .long(y.rowStride), .int(y.columns),
            ])
    }

    public func rmsNorm(_ x: Matrix, weight: Matrix, epsilon: Float, into y: Matrix) {
        rmsNorm(x, adding: nil, weight: weight, epsilon: epsilon, sum: nil, into: y)
    }

    public func addThenRMSNorm(
        _ x: Matrix, _ delta: Matrix, weight: Matrix, epsilon: Float
    ) -> (sum: Matrix, normed: Matrix) {
        let sum = makeMatrix(rows: x.rows, columns: x.columns)
        let normed = makeMatrix(rows: x.rows, columns: x.columns)
        rmsNorm(x, adding: delta, weight: weight, epsilon: epsilon, sum: sum, into: normed)
        return (sum, normed)
    }

    private func rmsNorm(
        _ x: Matrix, adding delta: Matrix?, weight: Matrix, epsilon: Float, sum: Matrix?, into y: Matrix
    ) {
        let arguments: [KernelArgument] = [
            .address(x.start), .long(x.rowStride), .address(delta?.start), .long(delta?.rowStride ?? 0),
            .address(sum.map(target)), .long(sum?.rowStride ?? 0), .address(weight.start),
            .address(target(y)),
            .long(y.rowStride),
        ]
        launch(
            "rms_norm", Extent(x.rows), block(columns: x.columns),
            arguments + packedArguments(packedCopy(of: y)) + [.int(x.columns), .float(epsilon)])
    }

    public func layerNorm(_ x: Matrix, weight: Matrix, bias: Matrix?, epsilon: Float, into y: Matrix) {
        let arguments: [KernelArgument] = [
            .address(x.start), .long(x.rowStride), .address(weight.start), .address(bias?.start),
            .address(target(y)), .long(y.rowStride),
        ]
        launch(
            "layer_norm", Extent(x.rows), block(columns: x.columns),
            arguments + packedArguments(packedCopy(of: y)) + [.int(x.columns), .float(epsilon)])
    }

    public func normalizeHeads(
        _ x: Matrix, heads: Int, by statistic: HeadStatistic, weight: Matrix, epsilon: Float
    ) {
        let width = x.columns / heads
        precondition([width, x.columns].contains(weight.columns), "\(weight.columns) weights for heads")
        launch(
            "normalize_heads", Extent(x.rows, (heads + 3) / 4), Extent(128),
            [
                .address(target(x)), .long(x.rowStride), .int(heads), .int(width), .address(weight.start),
                .int(weight.columns == width ? 0 : width), .int(statistic == .deviation ? 1 : 0),
                .float(epsilon),
            ])
    }

    public func scale(_ x: Matrix, by factors: [Float]) {
        precondition(factors.count == x.rows, "factors of rows")
        let list = upload(factors)
        map(x, into: x, .scale, factors: (list.address, 1))
    }

    public func scale(_ x: Matrix, bySigmoidOf gate: Matrix) {
        map(x, into: x, .scaleBySigmoid, factors: (gate.start, gate.rowStride))
    }

    public func scaleColumns(_ x: Matrix, by factors: Matrix) {
        map(x, into: x, .scaleColumns, factors: (factors.start, 0))
    }

    public func clamp(_ x: Matrix, to range: ClosedRange<Float>) {
        map(x, into: x, .clamp, a: range.lowerBound, b: range.upperBound)
    }

    public func softcap(_ x: Matrix, at cap: Float) { map(x, into: x, .softcap, a: cap) }

    public func activate(_ x: Matrix, _ function: Activation, into y: Matrix) {
        map(x, into: y, .activate, function: function.code)
    }

    /// Operations on elements, as map_rows numbers them.
    private enum ElementOperation: Int {
        case activate, clamp, softcap, scale, scaleBySigmoid, scaleColumns
    }

    private func map(
        _ x: Matrix, into y: Matrix, _ operation: ElementOperation, function: Int = 0, a: Float = 0,
        b: Float = 0,
        factors: (start: DeviceAddress, stride: Int)? = nil
    ) {
        launch(
            "map_rows", Extent(y.rows, min((y.columns + 1023) / 1024, 64)), Extent(256),
            [
                .address(x.start), .long(x.rowStride), .address(target(y)), .long(y.rowStride),
                .int(y.columns),
                .int(operation.rawValue), .int(function), .float(a), .float(b), .address(factors?.start),
                .long(factors?.stride ?? 0),
            ])
    }

    public func gated(_ gate: Matrix, _ up: Matrix, _ function: Activation, into y: Matrix) {
        let arguments: [KernelArgument] = [
            .address(gate.start), .long(gate.rowStride), .address(up.start), .long(up.rowStride),
            .address(target(y)), .long(y.rowStride),
        ]
        launch(
            "gated", Extent(y.rows, min((y.columns + 1023) / 1024, 64)), Extent(256),
            arguments + packedArguments(packedCopy(of: y)) + [.int(y.columns), .int(function.code)])
    }

    public func makeRotationTable(_ rotation: Rotation, positions: [Int32], lengths: [Int32]) -> RotationTable
    {
        let cosines = makeMatrix(rows: lengths.count, columns: rotation.pairs)
        let sines = makeMatrix(rows: lengths.count, columns: rotation.pairs)
        let axes = rotation.axes.map { upload($0.map { Int32($0) }) }
        let (frequencies, sets) = frequencies(of: rotation, lengths)
        let places = upload(positions)
        let magnitudes =
            rotation.longer == nil
            ? nil : upload(lengths.map { rotation.magnitude(atLength: Int($0)) })
        launch(
            "rotation_table", Extent(lengths.count), Extent(64),
            [
                .address(places.address), .address(sets?.address), .address(frequencies.address),
                .address(magnitudes?.address), .address(cosines.start), .address(sines.start),
                .int(rotation.pairs),
                .float(rotation.magnitude), .address(axes?.address),
            ])
        return RotationTable(rotation: rotation, cosines: cosines, sines: sines)
    }

    /// Frequencies, and for each row which set of them it has; nil when there is one.
    private func frequencies(
        of rotation: Rotation, _ lengths: [Int32]
    ) -> (values: DeviceBuffer, sets: DeviceBuffer?) {
        switch rotation.frequencies {
        case .fixed(let values):
            if let known = frequencies.withLock({ $0.first { $0.rotation === rotation } }) {
                return (known.values, nil)
            }
            let made = keep(values)
            frequencies.withLock { $0.append((rotation, made)) }
            return (made, nil)
        case .byLength(let values):
            var (known, all): ([Int32: Int32], [Float]) = ([:], [])
            let sets = lengths.map { length in
                if let set = known[length] { return set }
                let set = Int32(known.count)
                known[length] = set
                all += values(Int(length))
                return set
            }
            return (upload(all), upload(sets))
        }
    }

    public func rotate(_ x: Matrix, heads: Int, by table: RotationTable) {
        let rotation = table.rotation
        launch(
            "rotate", Extent(x.rows, (heads + 3) / 4), Extent(128),
            [
                .address(target(x)), .long(x.rowStride), .int(heads), .int(x.columns / heads),
                .address(table.cosines.start), .address(table.sines.start), .long(table.cosines.rowStride),
                .int(rotation.columns.lowerBound), .int(rotation.pairs),
                .int(rotation.pairing == .neighbours ? 1 : 0),
            ])
    }
}

extension Activation {
    /// What kernels call it.
    fileprivate var code: Int {
        switch self {
        case .silu: 0
        case .gelu: 1
        case .geluTanh: 2
        case .relu: 3
        case .quickGelu: 4
        }
    }
}
