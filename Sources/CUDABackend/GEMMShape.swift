import CUDARuntime

/// How a block of threads shares a product. It does not show in results.
struct GEMMShape: Sendable {
    /// Rows and outputs of a block.
    let rows: Int
    let columns: Int
    let threads: Int
    /// Tiles of both matrices that are under way.
    let stages: Int

    /// As gemm.cu has them.
    static let all = [
        GEMMShape(rows: 16, columns: 64, threads: 128, stages: 6),
        GEMMShape(rows: 32, columns: 64, threads: 128, stages: 5),
        GEMMShape(rows: 64, columns: 64, threads: 128, stages: 5),
        GEMMShape(rows: 128, columns: 128, threads: 256, stages: 4),
        GEMMShape(rows: 128, columns: 256, threads: 256, stages: 4),
    ]

    var sharedBytes: Int { stages * (rows + columns) * 64 * 2 }

    func kernel(_ element: ProductElement) -> String { "gemm_\(element.name)_\(rows)x\(columns)" }

    func blocks(rows m: Int, outputs n: Int) -> (rows: Int, columns: Int) {
        ((m + rows - 1) / rows, (n + columns - 1) / columns)
    }

    /// The shape for `m` rows on a device with that many multiprocessors.
    static func best(rows m: Int, outputs n: Int, multiprocessors: Int) -> GEMMShape {
        if let small = all.prefix(3).first(where: { $0.rows >= m }) { return small }
        let large = all[4].blocks(rows: m, outputs: n)
        return large.rows * large.columns >= multiprocessors ? all[4] : all[3]
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
