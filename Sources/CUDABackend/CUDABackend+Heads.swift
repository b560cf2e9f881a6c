import CUDARuntime
public import Tensors

extension CUDABackend {
    public func prepare(heads: [WeightMatrix]) -> (any Sendable)? { WeightTable(heads, on: self) }

    /// One product serves all heads, but for those whose weights are in another encoding.
    public func linear(_ x: Matrix, heads: HeadWeights, into y: Matrix) {
        let steps = heads.steps(from: x, to: y)
        guard let table = heads.prepared as? WeightTable else {
            preconditionFailure("weights of another backend")
        }
        guard x.rows > 0 else { return }
        let start = target(y), count = heads.weights.count
        var packedRows: [ProductElement: PackedRows] = [:]
        for part in table.parts {
            let element = ProductElement(part.encoding), inputs = element.padded(heads.inputs)
            let outputs = part.outputs.count
            guard let kernel = kernel(.heads, part, rows: x.rows, count: count) else { return }
            var arguments: [KernelArgument]
            if element == .float32 {
                arguments = [
                    .address(x.start), .long(x.rowStride), .long(steps.x), .address(part.addresses.address),
                    .long(inputs),
                ]
            } else {
                let rows =
                    packedRows[element] ?? packed(x, heads: count, columns: heads.inputs, element)
                packedRows[element] = rows
                arguments = [
                    .address(rows.buffer.address), .long(count * inputs), .long(inputs),
                    .address(part.addresses.address),
                ]
            }
            arguments += [
                .address(start + 4 * part.outputs.lowerBound), .long(y.rowStride), .long(steps.y),
                .int(x.rows), .int(outputs), .int(element == .float32 ? heads.inputs : inputs / 64),
            ]
            if let layout = BlockLayout(part.encoding) {
                arguments.append(.long(layout.recordBytes(outputs: outputs, inputs: heads.inputs)))
            }
            launch(
                kernel.kernel,
                Extent(
                    (x.rows + kernel.rows - 1) / kernel.rows,
                    (outputs + kernel.columns - 1) / kernel.columns, count),
                Extent(kernel.threads), shared: kernel.shared, arguments)
        }
    }
}
