import CUDARuntime
import Foundation
public import Tensors

extension CUDABackend {
    /// Copies the parts to the device, rows padded with zeros to whole tiles. Numbers of 16 bits stay as they are;
    /// blocks become float16. Neighbouring parts of one element make one matrix.
    public func makeWeight(_ parts: [HostWeight]) -> WeightMatrix {
        var groups: [(element: ProductElement, parts: [HostWeight])] = []
        for part in parts {
            let element = ProductElement(part.encoding)
            if groups.last?.element == element {
                groups[groups.count - 1].parts.append(part)
            } else {
                groups.append((element, [part]))
            }
        }
        let inputs = parts.first?.inputs ?? 0
        return WeightMatrix(
            inputs: inputs,
            parts: groups.map { group in
                noteWeight(of: group.element)
                let stride = group.element.padded(inputs)
                return WeightMatrix.Part(
                    outputs: group.parts.reduce(0) { $0 + $1.outputs }, encoding: group.element.encoding,
                    buffer: stored(group.parts, group.element, stride: stride))
            })
    }

    public func makeTable(_ weight: HostWeight) -> EmbeddingTable {
        let element = ProductElement(weight.encoding)
        return EmbeddingTable(
            rows: weight.outputs, columns: weight.inputs, encoding: element.encoding,
            buffer: stored([weight], element, stride: weight.inputs))
    }

    public func embed(_ tokens: [Int32], _ table: EmbeddingTable, into y: Matrix) {
        precondition(y.rows == tokens.count && y.columns == table.columns, "embedding shapes")
        precondition(tokens.allSatisfy { $0 >= 0 && Int($0) < table.rows }, "a row that the table lacks")
        let indices = upload(tokens)
        launch(
            "embed_\(ProductElement(table.encoding).name)", Extent(y.rows), Extent(256),
            [
                .address(indices.address), .address(table.buffer.address), .long(table.columns),
                .address(target(y)), .long(y.rowStride), .int(y.columns),
            ])
    }

    /// The rows of all parts, one after the other, `stride` numbers apart.
    private func stored(_ parts: [HostWeight], _ element: ProductElement, stride: Int) -> Buffer {
        let rows = parts.reduce(0) { $0 + $1.outputs }
        let rowBytes = stride * element.bytes
        let device = device
        let memory = attempt { () throws(CUDAError) in try device.allocate(bytes: rows * rowBytes) }
        guard let memory else { return arena.placeholder }
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
                    .address(floats.address), .long(part.inputs),
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
