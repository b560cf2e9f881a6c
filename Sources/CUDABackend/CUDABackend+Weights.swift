import CUDARuntime
import Foundation
public import Tensors

extension CUDABackend {
    /// Copies the parts to the device: plain numbers as they are, rows padded with zeros to whole tiles; blocks in the
    /// order in which products read them, as large as in the file. Neighbouring parts of one encoding make one matrix.
    public func makeWeight(_ parts: [HostWeight]) -> WeightMatrix {
        var groups: [[HostWeight]] = []
        for part in parts {
            if groups.last?.last?.encoding == part.encoding {
                groups[groups.count - 1].append(part)
            } else {
                groups.append([part])
            }
        }
        let inputs = parts.first?.inputs ?? 0
        return WeightMatrix(
            inputs: inputs,
            parts: groups.map { group in
                let encoding = group[0].encoding, element = ProductElement(encoding)
                noteWeight(of: element)
                return WeightMatrix.Part(
                    outputs: group.reduce(0) { $0 + $1.outputs }, encoding: encoding,
                    buffer: BlockLayout(encoding).map { packed(group, $0) }
                        ?? stored(group, element, stride: element.padded(inputs)))
            })
    }

    /// The rows as they are in the file.
    public func makeTable(_ weight: HostWeight) -> EmbeddingTable {
        EmbeddingTable(
            rows: weight.outputs, columns: weight.inputs, encoding: weight.encoding, buffer: copied(weight))
    }

    public func embed(_ tokens: [Int32], _ table: EmbeddingTable, into y: Matrix) {
        precondition(y.rows == tokens.count && y.columns == table.columns, "embedding shapes")
        precondition(tokens.allSatisfy { $0 >= 0 && Int($0) < table.rows }, "a row that the table lacks")
        let indices = upload(tokens)
        let layout = BlockLayout(table.encoding)
        let stride = layout == nil ? table.columns : table.encoding.rowBytes(table.columns) ?? 0
        let arguments: [KernelArgument] = [
            .address(indices.address), .address(table.buffer.address), .long(stride), .address(target(y)),
            .long(y.rowStride), .int(y.columns),
        ]
        if let layout {
            launch("embed", layout, Extent(y.rows), Extent(256), arguments)
        } else {
            launch(
                "embed_\(ProductElement(table.encoding).name)", Extent(y.rows), Extent(256), arguments)
        }
    }

    private func copied(_ weight: HostWeight) -> Buffer {
        let device = device
        guard let memory = allocateWeight(bytes: weight.bytes.count) else { return arena.placeholder }
        attempt { () throws(CUDAError) in
            try device.makeCurrent()
            try startDirectWork()
            try stream.copy(weight.bytes.count, from: weight.bytes.start, to: memory)
        }
        weight.bytes.evict()
        return OwnedBuffer(address: memory) { device.free($0) }
    }

    /// The rows of all parts, one after the other, `stride` numbers apart.
    private func stored(_ parts: [HostWeight], _ element: ProductElement, stride: Int) -> Buffer {
        let rows = parts.reduce(0) { $0 + $1.outputs }
        let rowBytes = stride * element.bytes
        let device = device
        guard let memory = allocateWeight(bytes: rows * rowBytes) else { return arena.placeholder }
        var end = memory
        for part in parts {
            attempt { () throws(CUDAError) in try store(part, element, stride: stride, at: end) }
            end += part.outputs * rowBytes
            part.bytes.evict()
        }
        return OwnedBuffer(address: memory) { device.free($0) }
    }

    private func store(
        _ part: HostWeight, _ element: ProductElement, stride: Int, at address: DeviceAddress
    ) throws(CUDAError) {
        if part.encoding == element.encoding, part.inputs == stride {
            try startDirectWork()
            return try stream.copy(part.bytes.count, from: part.bytes.start, to: address)
        }
        // A few rows at a time, by way of float32.
        let together = max(1, (16 << 20) / max(part.inputs, 1))
        for start in Swift.stride(from: 0, to: part.outputs, by: together) {
            let rows = start..<min(start + together, part.outputs)
            let values = part.floats(rows: rows)
            if element == .float32 {
                try store(floats: values, rows: rows, inputs: part.inputs, stride: stride, at: address)
                continue
            }
            let floats = keep(values)
            launch(
                "pack_rows", Extent(rows.count), Extent(256),
                [
                    .address(floats.address), .long(part.inputs), .long(0),
                    .address(address + rows.lowerBound * stride * element.bytes), .long(stride),
                    .int(element.code), .int(part.inputs),
                ])
        }
    }

    private func store(
        floats: [Float], rows: Range<Int>, inputs: Int, stride: Int, at address: DeviceAddress
    ) throws(CUDAError) {
        var padded = [Float](repeating: 0, count: rows.count * stride)
        for row in 0..<rows.count {
            padded.replaceSubrange(
                row * stride..<row * stride + inputs, with: floats[row * inputs..<(row + 1) * inputs])
        }
        try send(padded, to: address + 4 * rows.lowerBound * stride)
    }
}
