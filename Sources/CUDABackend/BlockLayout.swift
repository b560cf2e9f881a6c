import CUDARuntime
public import Tensors

/// How the device keeps weights of few bits, as blocks.cuh describes it: codes in records of 16 outputs and 64 inputs, in
/// the order in which products read them, then the numbers that levels are multiplied with.
struct BlockLayout: Sendable {
    let encoding: Encoding
    /// Bytes of a record, and of the numbers of 16 outputs and 256 inputs.
    let recordBytes: Int
    let baseBytes: Int

    /// Nil for plain numbers.
    init?(_ encoding: Encoding) {
        // Bits of a code; bytes of scales for a pair of outputs and 64 inputs; bytes of their numbers.
        let form: (bits: Int, scales: Int, bases: Int)
        switch encoding {
        case .float32, .float16, .bfloat16: return nil
        case .q4_0: form = (4, 8, 0)
        case .q4_1: form = (4, 16, 0)
        case .q5_0: form = (5, 8, 0)
        case .q5_1: form = (5, 16, 0)
        case .q8_0: form = (8, 8, 0)
        case .q2_K: form = (2, 8, 8)
        case .q3_K: form = (3, 8, 4)
        case .q4_K: form = (4, 8, 8)
        case .q5_K: form = (5, 8, 8)
        case .q6_K: form = (6, 8, 4)
        }
        self.encoding = encoding
        recordBytes = 16 * 64 / 8 * form.bits + 8 * form.scales
        baseBytes = 8 * form.bases
    }

    static let all = Encoding.allCases.compactMap { BlockLayout($0) }

    /// Strips of 16 outputs.
    func strips(_ outputs: Int) -> Int { (outputs + 15) / 16 }

    /// Records of a strip.
    func tiles(_ inputs: Int) -> Int { (inputs + 63) / 64 }

    /// Bytes of all records; the numbers of levels follow.
    func recordBytes(outputs: Int, inputs: Int) -> Int { strips(outputs) * tiles(inputs) * recordBytes }

    func bytes(outputs: Int, inputs: Int) -> Int {
        recordBytes(outputs: outputs, inputs: inputs) + strips(outputs) * tiles(inputs) / 4 * baseBytes
    }

    /// What kernels for it are compiled with.
    var definitions: [String] { ["FORMAT=\(encoding.rawValue)"] }

    func kernel(_ shape: GEMMShape) -> String { "gemm_\(encoding.rawValue)_\(shape.rows)x\(shape.columns)" }

    /// A stage holds a tile of rows and the records of a block's outputs.
    func sharedBytes(_ shape: GEMMShape) -> Int {
        shape.stages * (shape.rows * 64 * 2 + shape.columns / 16 * (recordBytes + baseBytes))
    }

    /// The shapes that fit a device, as gemm_blocks.cu has them.
    func shapes(on device: Device) -> [GEMMShape] {
        GEMMShape.blocks.filter { sharedBytes($0) <= device.sharedMemory }
    }

    /// Kernels by name, with the shared memory that they may ask for.
    func kernels(on device: Device) -> [(name: String, shared: Int)] {
        [("pack_\(encoding.rawValue)", 0), ("embed_\(encoding.rawValue)", 0)]
            + shapes(on: device).map { (kernel($0), sharedBytes($0)) }
    }
}

extension CUDABackend {
    /// Bytes that a weight takes on a device.
    public static func weightBytes(_ encoding: Encoding, outputs: Int, inputs: Int) -> Int {
        if let layout = BlockLayout(encoding) { return layout.bytes(outputs: outputs, inputs: inputs) }
        let element = ProductElement(encoding)
        return outputs * element.padded(inputs) * element.bytes
    }

    /// The file's blocks in the order in which products read them, some strips at a time.
    func packed(_ parts: [HostWeight], _ layout: BlockLayout) -> Buffer {
        let outputs = parts.reduce(0) { $0 + $1.outputs }
        let (inputs, device) = (parts.first?.inputs ?? 0, device)
        guard let memory = allocateWeight(bytes: layout.bytes(outputs: outputs, inputs: inputs)) else {
            return arena.placeholder
        }
        let rowBytes = layout.encoding.rowBytes(inputs) ?? 0
        let records = layout.recordBytes(outputs: 16, inputs: inputs)
        let bases = layout.bytes(outputs: 16, inputs: inputs) - records
        // A grid has at most 65535 blocks in its second dimension.
        let together = min(65_535, max(1, (32 << 20) / max(16 * rowBytes, 1)))
        for first in stride(from: 0, to: layout.strips(outputs), by: together) {
            let strips = min(together, layout.strips(outputs) - first)
            let rows = first * 16..<min((first + strips) * 16, outputs)
            let blocks = buffer(bytes: rows.count * rowBytes)
            attempt { () throws(CUDAError) in
                try send(rows, of: parts, rowBytes: rowBytes, to: blocks.address)
            }
            let end = memory + layout.recordBytes(outputs: outputs, inputs: inputs)
            launch(
                "pack", layout,
                Extent((layout.tiles(inputs) + 3) / 4, strips), Extent(128),
                [
                    .address(blocks.address), .long(rowBytes), .address(memory + first * records),
                    .address(end + first * bases), .int(rows.count), .int(inputs),
                    .int(layout.tiles(inputs)),
                ])
        }
        for part in parts { part.bytes.evict() }
        return OwnedBuffer(address: memory) { device.free($0) }
    }

    /// A kernel for weights of few bits.
    func launch(
        _ operation: String, _ layout: BlockLayout, _ grid: Extent, _ block: Extent,
        _ arguments: [KernelArgument]
    ) {
        let name = "\(operation)_\(layout.encoding.rawValue)"
        let kernel = attempt { () throws(CUDAError) in try kernels.blocks(name, layout) }
        if let kernel { launch(kernel, grid, block, arguments) }
    }

    /// Copies rows of the parts, counted through all of them.
    private func send(
        _ rows: Range<Int>, of parts: [HostWeight], rowBytes: Int, to address: DeviceAddress
    ) throws(CUDAError) {
        try device.makeCurrent()
        try startDirectWork()
        var first = 0
        for part in parts {
            let wanted = rows.clamped(to: first..<first + part.outputs)
            if !wanted.isEmpty {
                try stream.copy(
                    wanted.count * rowBytes, from: part.bytes.start + (wanted.lowerBound - first) * rowBytes,
                    to: address + (wanted.lowerBound - rows.lowerBound) * rowBytes)
            }
            first += part.outputs
        }
    }
}
