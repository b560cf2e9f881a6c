import CUDARuntime
public import Tensors

extension CUDABackend {
    public func linear(_ x: Matrix, _ weight: WeightMatrix, bias: Matrix?, into y: Matrix) {
        precondition(
            x.columns == weight.inputs && y.columns == weight.outputs && x.rows == y.rows, "linear shapes")
        guard x.rows > 0 else { return }
        _ = target(y)
        var first = 0
        for part in weight.parts {
            let outputs = y.columns(first..<first + part.outputs)
            let partBias = bias?.columns(first..<first + part.outputs)
            let element = ProductElement(part.encoding)
            if element == .float32 {
                multiplyFloats(x, part, bias: partBias, into: outputs)
            } else if let layout = BlockLayout(part.encoding) {
                multiply(packed(x, element), part, layout, bias: partBias, into: outputs)
            } else {
                let rows = packed(x, element)
                if !multiplyByLibrary(rows, part, bias: partBias, into: outputs) {
                    multiply(rows, part, bias: partBias, into: outputs)
                }
            }
            first += part.outputs
        }
    }

    /// The rows of `x` as products take them.
    func packed(_ x: Matrix, _ element: ProductElement) -> PackedRows {
        if let known = (x.buffer as? DeviceBuffer)?.packed, known.element == element, x.offset == 0,
            known.rows == x.rows, known.columns == x.columns, x.rowStride == x.columns
        {
            return known
        }
        return packed(x, heads: 1, columns: x.columns, element)
    }

    /// The first `columns` of each of `heads` heads of `x`: a row for each, those of a row of `x` side by side.
    func packed(_ x: Matrix, heads: Int, columns: Int, _ element: ProductElement) -> PackedRows {
        let rows = PackedRows(
            buffer: buffer(bytes: 2 * x.rows * heads * element.padded(columns)), element: element,
            rows: x.rows * heads, columns: columns)
        launch(
            "pack_rows", Extent(x.rows, heads), Extent(256),
            [
                .address(x.start), .long(x.rowStride), .long(x.columns / heads),
                .address(rows.buffer.address), .long(rows.stride), .int(element.code), .int(columns),
            ])
        return rows
    }

    private func multiply(_ x: PackedRows, _ part: WeightMatrix.Part, bias: Matrix?, into y: Matrix) {
        let shape = GEMMShape.best(
            productShapes, rows: x.rows, outputs: part.outputs,
            segments: GEMMSegments(inputs: x.stride, outputs: part.outputs).count,
            multiprocessors: device.multiprocessors)
        multiply(x, part, bias: bias, into: y, shape)
    }

    func multiply(
        _ x: PackedRows, _ part: WeightMatrix.Part, bias: Matrix?, into y: Matrix, _ shape: GEMMShape
    ) {
        multiply(
            x, part, kernels[shape.kernel(x.element)], shape, shared: shape.sharedBytes, bases: nil,
            bias: bias,
            into: y)
    }

    /// The product with a weight of few bits.
    private func multiply(
        _ x: PackedRows, _ part: WeightMatrix.Part, _ layout: BlockLayout, bias: Matrix?, into y: Matrix
    ) {
        let shape = GEMMShape.best(
            layout.shapes(on: device), rows: x.rows, outputs: part.outputs,
            segments: GEMMSegments(inputs: x.stride, outputs: part.outputs).count,
            multiprocessors: device.multiprocessors)
        let kernel = attempt { () throws(CUDAError) in try kernels.blocks(layout.kernel(shape), layout) }
        guard let kernel else { return }
        multiply(
            x, part, kernel, shape, shared: layout.sharedBytes(shape),
            bases: part.buffer.address + layout.recordBytes(outputs: part.outputs, inputs: x.columns),
            bias: bias, into: y)
    }

    /// Segment by segment: blocks of their own compute them where there would be too few, or one after the other.
    private func multiply(
        _ x: PackedRows, _ part: WeightMatrix.Part, _ kernel: Kernel, _ shape: GEMMShape, shared: Int,
        bases: DeviceAddress?, bias: Matrix?, into y: Matrix
    ) {
        let segments = GEMMSegments(inputs: x.stride, outputs: part.outputs)
        let blocks = shape.blocks(rows: x.rows, outputs: part.outputs)
        let isSplit = shape.isSplit(
            rows: x.rows, outputs: part.outputs, segments.count, device.multiprocessors)
        let partial = isSplit ? buffer(bytes: 4 * segments.count * x.rows * part.outputs) : nil
        let arguments: [KernelArgument] = [
            .address(x.buffer.address), .address(part.buffer.address), .long(x.stride), .address(y.start),
            .long(y.rowStride), .address(partial?.address), .address(isSplit ? nil : bias?.start),
            .int(x.rows), .int(part.outputs), .int(segments.tiles), .int(segments.tilesEach),
        ]
        launch(
            kernel, Extent(blocks.rows, blocks.columns, isSplit ? segments.count : 1), Extent(shape.threads),
            shared: shared, arguments + (bases.map { [.address($0)] } ?? []))
        guard let partial else { return }
        launch(
            "gemm_reduce", Extent((part.outputs + 255) / 256, x.rows), Extent(256),
            [
                .address(partial.address), .address(y.start), .long(y.rowStride), .address(bias?.start),
                .int(x.rows), .int(part.outputs), .int(segments.count),
            ])
    }

    private func multiplyFloats(_ x: Matrix, _ part: WeightMatrix.Part, bias: Matrix?, into y: Matrix) {
        launch(
            "gemm_float", Extent((x.rows + 63) / 64, (part.outputs + 63) / 64), Extent(256),
            [
                .address(x.start), .long(x.rowStride), .address(part.buffer.address),
                .long(ProductElement.float32.padded(x.columns)), .address(y.start), .long(y.rowStride),
                .address(bias?.start), .int(x.rows), .int(part.outputs), .int(x.columns),
            ])
    }
}
