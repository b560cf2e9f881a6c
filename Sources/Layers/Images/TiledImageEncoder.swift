public import Images
public import Tensors

/// A network that looks at square tiles of one size.
public protocol ImageTower: Sendable {
    /// Pixels of a tile's side.
    var tileSize: Int { get }
    var patches: PatchLayout { get }
    /// Features that a tile becomes.
    var tokensPerTile: Int { get }
    /// Columns of the features.
    var width: Int { get }
    /// How many tiles it takes at once.
    var tilesAtOnce: Int { get }
    var backend: any Backend { get }
    /// The features of tiles whose patches are given, back to back.
    func callAsFunction(_ patches: Matrix, tiles: Int) -> Matrix
}

/// How an image becomes tiles.
public protocol ImageTiling: Sendable {
    /// The most tiles of an image.
    var mostTiles: Int { get }
    /// Pixels that a side may have.
    var longestSide: Int { get }
    /// How many an image of this size becomes.
    func count(width: Int, height: Int) -> Int
    /// The tiles, `size` pixels a side.
    func tiles(_ image: PixelImage, size: Int) -> [PixelImage]
}

/// An encoder that cuts images into tiles and looks at each by itself.
public struct TiledImageEncoder<Tower: ImageTower>: ImageEncoder {
    public let marks: ImageMarks
    let tower: Tower
    let tiling: any ImageTiling

    public init(_ tower: Tower, _ tiling: any ImageTiling, _ marks: ImageMarks) {
        (self.tower, self.tiling, self.marks) = (tower, tiling, marks)
    }

    public var width: Int { tower.width }
    public var failure: BackendFailure? { tower.backend.failure }
    public var mostTokens: Int { tiling.mostTiles * tower.tokensPerTile }

    public var rehearsal: [PixelImage] {
        Array(repeating: PixelImage(side: tower.tileSize), count: tower.tilesAtOnce)
    }

    public func plan(width: Int, height: Int) throws(ImageRefusal) -> ImagePlan {
        try ImageRefusal.check(width: width, height: height, longestSide: tiling.longestSide)
        return ImagePlan(tokens: tiling.count(width: width, height: height) * tower.tokensPerTile)
    }

    public func encode(_ images: [PixelImage]) -> [ImageFeatures] {
        let tiles = images.map { tiling.tiles($0, size: tower.tileSize) }
        let all = Array(tiles.joined())
        var values: [Float] = []
        values.reserveCapacity(all.count * tower.tokensPerTile * width)
        for start in stride(from: 0, to: all.count, by: tower.tilesAtOnce) {
            values += features(all[start..<min(start + tower.tilesAtOnce, all.count)])
        }
        var first = 0
        return tiles.map { tiles in
            let rows = tiles.count * tower.tokensPerTile
            defer { first += rows * width }
            return ImageFeatures(
                rows: rows, columns: width, values: Array(values[first..<first + rows * width]))
        }
    }

    private func features(_ tiles: ArraySlice<PixelImage>) -> [Float] {
        var numbers: [Float] = []
        for tile in tiles { tower.patches.append(tile, to: &numbers) }
        let columns = tower.patches.columns
        let patches = tower.backend.makeMatrix(rows: numbers.count / columns, columns: columns)
        tower.backend.write(numbers[...], into: patches)
        return tower(patches, tiles: tiles.count).values
    }
}
