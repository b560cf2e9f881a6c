import CUDARuntime

/// Which kernels multiply. They add up in orders that may differ, so a backend uses those of one kind for all products.
public enum ProductKernels: String, Sendable, CaseIterable {
    /// Each warp multiplies from registers; for every device.
    case warps
    /// Four warps together multiply from shared memory; for compute capability 9.0.
    case groups
    /// cuBLASLt's, for weights of 16 bits in shapes for which it has algorithms that add up in one order; else the device's
    /// best of ours.
    case library

    /// Our own kernels among them.
    func tiles(on device: Device) -> TileProducts {
        switch self {
        case .warps: .warps
        case .groups: .groups
        case .library: TileProducts(on: device)
        }
    }
}

/// Our own kernels for products.
enum TileProducts: Sendable {
    case warps, groups

    var source: String { self == .groups ? "gemm_groups.cu" : "gemm.cu" }

    /// The fastest that the device has.
    init(on device: Device) { self = device.capability == (9, 0) ? .groups : .warps }
}

/// How a block of threads shares a product. It does not show in results.
struct GEMMShape: Sendable {
    let kernels: TileProducts
    /// Rows and outputs of a block.
    let rows: Int
    let columns: Int
    let threads: Int
    /// Tiles of both matrices that are under way.
    let stages: Int
    /// The most rows of a product that it is meant for. Few rows wait for their weights alone: more blocks, each with fewer
    /// outputs, leave less of the device idle at the end, and have no rows to read again.
    var mostRows: Int { columns == 32 ? 16 : rows }

    /// As gemm.cu and gemm_groups.cu have them, by rows and outputs.
    static func all(_ kernels: TileProducts) -> [GEMMShape] {
        let shapes: [(rows: Int, columns: Int, threads: Int, stages: Int)] =
            switch kernels {
            case .warps:
                [
                    (16, 64, 128, 6), (32, 64, 128, 5), (64, 64, 128, 5), (128, 128, 256, 4),
                    (128, 256, 256, 4),
                ]
            case .groups: [(64, 32, 128, 6), (64, 64, 128, 6), (128, 128, 256, 6), (128, 256, 256, 4)]
            }
        return shapes.map {
            GEMMShape(
                kernels: kernels, rows: $0.rows, columns: $0.columns, threads: $0.threads, stages: $0.stages)
        }
    }

    /// As gemm_blocks.cu has them.
    static let blocks = [
        GEMMShape(kernels: .warps, rows: 16, columns: 64, threads: 128, stages: 6),
        GEMMShape(kernels: .warps, rows: 64, columns: 64, threads: 128, stages: 5),
        GEMMShape(kernels: .warps, rows: 128, columns: 128, threads: 256, stages: 4),
    ]

    /// Groups of warps need tiles at multiples of 1024 bytes.
    var sharedBytes: Int { stages * (rows + columns) * 64 * 2 + (kernels == .groups ? 1024 : 0) }

    /// What kernels for experts keep there beside: where each row of a block is.
    var listBytes: Int { 4 * rows }

    func kernel(_ element: ProductElement) -> String {
        "\(kernels == .groups ? "group_" : "")gemm_\(element.name)_\(rows)x\(columns)"
    }

    func blocks(rows m: Int, outputs n: Int) -> (rows: Int, columns: Int) {
        ((m + rows - 1) / rows, (n + columns - 1) / columns)
    }

    /// The shapes that fit a device.
    static func all(_ kernels: TileProducts, on device: Device) -> [GEMMShape] {
        all(kernels).filter { $0.sharedBytes <= device.sharedMemory }
    }

    /// The best of `shapes`, which are sorted, for `m` rows of each of `copies` weights on a device with that many
    /// multiprocessors. Few rows take the first shape that is meant for so many. What more cost is what blocks that run one
    /// after the other on a multiprocessor read: a block of a large shape takes all of its shared memory.
    static func best(
        _ shapes: [GEMMShape], rows m: Int, outputs n: Int, segments: Int = 1, copies: Int = 1,
        multiprocessors: Int
    ) -> GEMMShape {
        if let small = shapes.first(where: { $0.rows < 128 && $0.mostRows >= m }) { return small }
        func cost(_ shape: GEMMShape) -> Double {
            let blocks = shape.blocks(rows: m, outputs: n), count = blocks.rows * blocks.columns * copies
            let parts = shape.isSplit(rows: m, outputs: n, segments, multiprocessors) ? segments : 1
            let turns = (count * parts + multiprocessors - 1) / multiprocessors
            return Double(turns * (shape.rows + shape.columns)) / Double(parts)
        }
        let large = shapes.filter { $0.rows >= min(m, 128) }
        guard let shape = (large.isEmpty ? shapes : large).min(by: { cost($0) < cost($1) }) else {
            preconditionFailure("a device without room for any product")
        }
        return shape
    }

    /// Whether blocks of their own compute the segments of a sum, as there would be too few otherwise.
    func isSplit(rows m: Int, outputs n: Int, _ segments: Int, _ multiprocessors: Int) -> Bool {
        let blocks = blocks(rows: m, outputs: n)
        return segments > 1 && 4 * blocks.rows * blocks.columns < 3 * multiprocessors
    }
}

/// How the sum of a product is cut. It shows in results, so it depends on the weight's shape alone.
struct GEMMSegments: Sendable {
    /// Tiles of 64 inputs.
    let tiles: Int
    let tilesEach: Int

    init(inputs: Int, outputs: Int) {
        tiles = inputs / 64
        // Matrices with few outputs have too few blocks to read their weights at full speed.
        let blocks = (outputs + 127) / 128
        let wanted = blocks >= 96 ? 1 : min(8, max(1, 132 / blocks))
        let count = max(1, min(wanted, tiles / 8))
        tilesEach = (tiles + count - 1) / count
    }

    var count: Int { (tiles + tilesEach - 1) / tilesEach }
}
