import CKernels
public import Tensors

extension CPUBackend {
    public func linear(_ x: Matrix, _ weight: WeightMatrix, bias: Matrix?, into y: Matrix) {
        precondition(
            x.columns == weight.inputs && y.columns == weight.outputs && x.rows == y.rows, "linear shapes")
        guard x.rows > 0 else { return }
        let quantized = Set(weight.parts.map(\.encoding.blockElements)).subtracting([1])
            .map { quantize(x, shared: $0) }
        var tasks: [LinearTask] = []
        var firstOutput = 0
        for part in weight.parts {
            let chunk = chunkSize(outputs: part.outputs, cost: weight.inputs * x.rows)
            for start in stride(from: 0, to: part.outputs, by: chunk) {
                tasks.append(
                    LinearTask(
                        part: part, offset: firstOutput, outputs: start..<min(start + chunk, part.outputs)))
            }
            firstOutput += part.outputs
        }
        workers.run(parts: tasks.count) { index in
            run(tasks[index], x, quantized, inputs: weight.inputs, bias: bias, into: y)
        }
        withExtendedLifetime((x, quantized, weight, bias, y)) {}
    }

    /// Outputs that one task computes: small enough to share evenly, large enough to be worth a claim.
    private func chunkSize(outputs: Int, cost: Int) -> Int {
        let least = max(8, 32_768 / max(cost, 1))
        let even = (outputs + 4 * workers.width - 1) / (4 * workers.width)
        // Chunks in eights keep two threads out of one cache line of `y`.
        let chunk = (max(least, even) + 15) / 16 * 16
        return max(chunk, (outputs + 4095) / 4096)
    }

    private func run(
        _ task: LinearTask, _ x: Matrix, _ quantized: [QuantizedRows], inputs: Int, bias: Matrix?,
        into y: Matrix
    ) {
        let form = quantized.first { $0.shared == task.part.encoding.blockElements }
        var product = llm_matmul(
            encoding: task.part.encoding.kernel, weights: UnsafeRawPointer(task.part.buffer.address),
            inputs: inputs, first_output: task.outputs.lowerBound, last_output: task.outputs.upperBound,
            x: UnsafeRawPointer(form?.buffer.address ?? UnsafeMutableRawPointer(x.row(0))),
            x_stride_bytes: form?.rowBytes ?? 4 * x.rowStride, rows: x.rows,
            bias: bias.map { UnsafePointer($0.row(0) + task.offset) }, y: y.row(0) + task.offset,
            y_stride: y.rowStride)
        kernels.matmul(&product)
    }

    /// Activations in the form that block encodings are multiplied with.
    private func quantize(_ x: Matrix, shared: Int) -> QuantizedRows {
        let rowBytes = kernels.quantized_row_bytes(x.columns)
        let rows = QuantizedRows(
            shared: shared, buffer: buffer(bytes: rowBytes * x.rows), rowBytes: rowBytes)
        split(rows: x.rows, cost: 2 * x.columns) { range in
            kernels.quantize_rows(
                x.row(range.lowerBound), x.rowStride, range.count, x.columns, shared,
                rows.buffer.address + range.lowerBound * rowBytes)
        }
        return rows
    }

    public func embed(_ tokens: [Int32], _ table: WeightMatrix, into y: Matrix) {
        precondition(y.rows == tokens.count && y.columns == table.inputs, "embedding shapes")
        split(rows: tokens.count, cost: table.inputs) { rows in
            for row in rows {
                let (part, index) = table.locate(Int(tokens[row]))
                let bytes = part.encoding.rowBytes(table.inputs) ?? 0
                kernels.dequantize_row(
                    part.encoding.kernel, part.buffer.address + index * bytes, table.inputs, y.row(row))
            }
        }
    }
}

/// Some outputs of one part of a weight matrix.
private struct LinearTask {
    let part: WeightMatrix.Part
    /// Outputs of the parts before.
    let offset: Int
    let outputs: Range<Int>
}

private struct QuantizedRows {
    /// Elements that have one scale, as many as the weights' blocks have.
    let shared: Int
    let buffer: Buffer
    let rowBytes: Int
}

extension WeightMatrix {
    /// The part that has output `index`, and its number there.
    fileprivate func locate(_ index: Int) -> (Part, Int) {
        precondition(index >= 0 && index < outputs, "row \(index) of \(outputs)")
        var index = index
        for part in parts {
            if index < part.outputs { return (part, index) }
            index -= part.outputs
        }
        preconditionFailure("parts do not add up to \(outputs) outputs")
    }
}
