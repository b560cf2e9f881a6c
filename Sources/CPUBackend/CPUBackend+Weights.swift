import CKernels
import Foundation
import Synchronization
public import Tensors

extension CPUBackend {
    /// Packs the parts into panels of sixteen outputs, in the order in which kernels read them, and lets go of
    /// the file's pages. Quantised numbers stay as they are.
    public func makeWeight(_ parts: [HostWeight]) -> WeightMatrix {
        WeightMatrix(inputs: parts.first?.inputs ?? 0, parts: parts.map(packed))
    }

    private func packed(_ part: HostWeight) -> WeightMatrix.Part {
        let (encoding, panels) = (part.encoding.kernel, part.panels)
        let panelBytes = kernels.panel_bytes(encoding, part.inputs)
        let buffer = weightBuffer(bytes: panels * panelBytes)
        let rowBytes = part.outputs > 0 ? part.bytes.count / part.outputs : 0
        // The thread that packs a panel touches its memory first, which places it near that thread.
        workers.run(parts: min(panels, 4 * workers.width)) { index in
            let count = min(panels, 4 * workers.width)
            for panel in panels * index / count..<panels * (index + 1) / count {
                let first = panel * HostWeight.panelOutputs
                kernels.pack_panel(
                    encoding, part.bytes.start + first * rowBytes, part.inputs,
                    min(HostWeight.panelOutputs, part.outputs - first), buffer.address + panel * panelBytes)
            }
        }
        part.bytes.evict()
        return WeightMatrix.Part(outputs: part.outputs, encoding: part.encoding, buffer: buffer)
    }

    /// Memory for weights: in whole pages that the system may make large ones.
    private func weightBuffer(bytes: Int) -> Buffer {
        let page = 1 << 21
        let size = bytes >= 4 * page ? (bytes + page - 1) / page * page : max(bytes, 64)
        weightBytes.add(size, ordering: .relaxed)
        let address = UnsafeMutableRawPointer.allocate(
            byteCount: size, alignment: size.isMultiple(of: page) ? page : 64)
        if size.isMultiple(of: page) { madvise(address, size, Int32(MADV_HUGEPAGE)) }
        return OwnedBuffer(address: address) { $0.deallocate() }
    }

    /// Rows are looked up where they lie: in the mapped file.
    public func makeTable(_ weight: HostWeight) -> EmbeddingTable {
        let bytes = weight.bytes
        let buffer = OwnedBuffer(address: UnsafeMutableRawPointer(mutating: bytes.start)) { _ in
            withExtendedLifetime(bytes) {}
        }
        return EmbeddingTable(
            rows: weight.outputs, columns: weight.inputs, encoding: weight.encoding, buffer: buffer)
    }

    public func embed(_ tokens: [Int32], _ table: EmbeddingTable, into y: Matrix) {
        precondition(y.rows == tokens.count && y.columns == table.columns, "embedding shapes")
        let rowBytes = table.encoding.rowBytes(table.columns) ?? 0
        split(rows: tokens.count, cost: table.columns) { rows in
            for row in rows {
                let index = Int(tokens[row])
                precondition(index >= 0 && index < table.rows, "row \(index) of \(table.rows)")
                kernels.dequantize_row(
                    table.encoding.kernel, table.buffer.address + index * rowBytes, table.columns, y.row(row))
            }
        }
        withExtendedLifetime(table) {}
    }
}

extension HostWeight {
    /// Outputs of one panel.
    static let panelOutputs = 16

    var panels: Int { (outputs + Self.panelOutputs - 1) / Self.panelOutputs }
}
