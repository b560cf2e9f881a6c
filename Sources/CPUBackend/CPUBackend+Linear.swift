import CKernels
public import Tensors

extension CPUBackend {
    public func linear(_ x: Matrix, _ weight: WeightMatrix, bias: Matrix?, into y: Matrix) {
        precondition(
            x.columns == weight.inputs && y.columns == weight.outputs && x.rows == y.rows, "linear shapes")
        guard x.rows > 0 else { return }
        let blocks = quantized(x, for: weight, sharing: 32), chunks = quantized(x, for: weight, sharing: 256)
        let matmul = kernels.matmul
        withUnsafeTemporaryAllocation(of: Portion.self, capacity: weight.parts.count) { portions in
            var (tasks, outputs) = (0, 0)
            for (index, part) in weight.parts.enumerated() {
                let form = part.encoding.blockElements == 256 ? chunks : blocks
                let numbers = part.encoding.blockElements == 1 ? nil : form?.address
                let call = llm_matmul(
                    encoding: part.encoding.kernel, weights: UnsafeRawPointer(part.buffer.address),
                    inputs: weight.inputs, outputs: part.outputs, first_panel: 0, last_panel: 0,
                    x: UnsafeRawPointer(numbers ?? UnsafeMutableRawPointer(x.row(0))),
                    x_stride: x.rowStride, rows: x.rows,
                    bias: bias.map { UnsafePointer($0.row(0) + outputs) }, y: y.row(0) + outputs,
                    y_stride: y.rowStride)
                portions.initializeElement(
                    at: index, to: Portion(call, firstTask: tasks, workers: workers.width))
                tasks += portions[index].tasks
                outputs += part.outputs
            }
            nonisolated(unsafe) let portions = portions  // written above, now only read
            workers.run(parts: tasks) { index in
                var part = portions.count - 1
                while portions[part].firstTask > index { part -= 1 }
                var call = portions[part].call(task: index)
                matmul(&call)
            }
        }
        withExtendedLifetime((x, blocks, chunks, weight, bias, y)) {}
    }

    /// Activations in the form that encodings with blocks of `shared` elements are multiplied with; nil when
    /// the weight has none.
    private func quantized(_ x: Matrix, for weight: WeightMatrix, sharing shared: Int) -> Buffer? {
        guard weight.parts.contains(where: { $0.encoding.blockElements == shared }) else { return nil }
        let form = buffer(bytes: kernels.quantized_bytes(x.columns, x.rows))
        let tiles = (x.rows + 15) / 16
        split(rows: tiles, cost: 16 * x.columns / 4) { tiles in
            kernels.quantize_rows(
                x.row(0), x.rowStride, x.rows, x.columns, shared, tiles.lowerBound, tiles.upperBound,
                form.address)
        }
        return form
    }
}

/// The product with one part of a weight matrix, and the tasks that share its panels. Plain numbers and
/// addresses, so that threads which read it at once count no references.
private struct Portion {
    private let whole: llm_matmul
    private let panels: Int
    /// Panels that a kernel takes together, so that enough sums run side by side.
    private let together: Int
    let firstTask: Int
    let tasks: Int

    /// `call` lacks the panels.
    init(_ call: llm_matmul, firstTask: Int, workers: Int) {
        (whole, self.firstTask) = (call, firstTask)
        panels = (call.outputs + HostWeight.panelOutputs - 1) / HostWeight.panelOutputs
        together = call.encoding.rawValue <= LLM_BF16.rawValue ? 4 : 1
        // Fewer products are not worth handing out.
        let least = max(together, 65_536 / (HostWeight.panelOutputs * call.inputs * call.rows))
        tasks = max(1, min(panels / least, 8 * workers))
    }

    func call(task: Int) -> llm_matmul {
        let groups = (panels + together - 1) / together, number = task - firstTask
        var call = whole
        call.first_panel = min(panels, groups * number / tasks * together)
        call.last_panel = min(panels, groups * (number + 1) / tasks * together)
        return call
    }
}
