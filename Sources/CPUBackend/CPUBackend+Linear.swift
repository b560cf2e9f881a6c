import CKernels
public import Tensors

extension CPUBackend {
    public func linear(_ x: Matrix, _ weight: WeightMatrix, bias: Matrix?, into y: Matrix) {
        precondition(
            x.columns == weight.inputs && y.columns == weight.outputs && x.rows == y.rows, "linear shapes")
        guard x.rows > 0 else { return }
        let blocks = quantized(x, for: weight, sharing: 32), chunks = quantized(x, for: weight, sharing: 256)
        var tasks = LinearTasks(workers: workers.width, cost: weight.inputs * x.rows)
        for part in weight.parts { tasks.append(outputs: part.outputs) }
        workers.run(parts: tasks.count) { index in
            let task = tasks[index]
            let part = weight.parts[task.part]
            let form = part.encoding.blockElements == 256 ? chunks : blocks
            let plain = part.encoding.blockElements == 1
            var product = llm_matmul(
                encoding: part.encoding.kernel, weights: UnsafeRawPointer(part.buffer.address),
                inputs: weight.inputs, outputs: part.outputs, first_panel: task.panels.lowerBound,
                last_panel: task.panels.upperBound,
                x: UnsafeRawPointer(plain ? UnsafeMutableRawPointer(x.row(0)) : (form ?? x.buffer).address),
                x_stride: x.rowStride, rows: x.rows,
                bias: bias.map { UnsafePointer($0.row(0) + task.firstOutput) },
                y: y.row(0) + task.firstOutput, y_stride: y.rowStride)
            kernels.matmul(&product)
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

/// The parts that a product is split into: some panels of one part of the weight each.
private struct LinearTasks {
    struct Task {
        let part: Int
        /// Outputs of the parts before.
        let firstOutput: Int
        let panels: Range<Int>
    }

    private struct Part {
        let firstOutput: Int
        let panels: Int
        let firstTask: Int
        let tasks: Int
    }

    private let workers: Int
    private let panelsForItself: Int
    private var parts: [Part] = []
    private(set) var count = 0
    private var outputs = 0

    /// `cost` is the number of products of one output.
    init(workers: Int, cost: Int) {
        self.workers = workers
        // Less than this is not worth handing out.
        panelsForItself = max(1, 65_536 / max(16 * cost, 1))
    }

    mutating func append(outputs: Int) {
        let panels = (outputs + HostWeight.panelOutputs - 1) / HostWeight.panelOutputs
        let tasks = max(1, min(panels / panelsForItself, 4 * workers, panels))
        parts.append(Part(firstOutput: self.outputs, panels: panels, firstTask: count, tasks: tasks))
        count += tasks
        self.outputs += outputs
    }

    subscript(index: Int) -> Task {
        var part = parts.count - 1
        while parts[part].firstTask > index { part -= 1 }
        let (whole, number) = (parts[part], index - parts[part].firstTask)
        return Task(
            part: part, firstOutput: whole.firstOutput,
            panels: whole.panels * number / whole.tasks..<whole.panels * (number + 1) / whole.tasks)
    }
}
