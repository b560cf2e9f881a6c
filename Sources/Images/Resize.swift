/// A part of an image: its upper left corner and its size, in pixels.
public struct PixelRegion: Sendable, Equatable {
    public var x: Int
    public var y: Int
    public var width: Int
    public var height: Int

    public init(x: Int, y: Int, width: Int, height: Int) {
        self.x = x
        self.y = y
        self.width = width
        self.height = height
    }

    fileprivate var columns: Range<Int> { x..<x + width }
    fileprivate var rows: Range<Int> { y..<y + height }
}

extension PixelImage {
    /// The image in another size; every byte equals Pillow's.
    public func resized(width: Int, height: Int, by filter: ResizeFilter) -> PixelImage {
        resized(
            width: width, height: height, by: filter,
            keeping: PixelRegion(x: 0, y: 0, width: width, height: height))
    }

    /// What `resized(width:height:by:)` and then `cropped` give, without the pixels that are cropped away.
    ///
    /// The region lies inside the resized image. Time and memory depend on the region's size, not on the resized
    /// image's, which may be huge when a very tall or wide image is brought to a shortest side.
    public func resized(
        width: Int, height: Int, by filter: ResizeFilter, keeping region: PixelRegion
    ) -> PixelImage {
        precondition(region.x >= 0 && region.y >= 0 && region.width > 0 && region.height > 0)
        precondition(region.x + region.width <= width && region.y + region.height <= height)
        let across =
            width == self.width
            ? nil : ResizeWeights(from: self.width, to: width, pixels: region.columns, by: filter)
        let down =
            height == self.height
            ? nil : ResizeWeights(from: self.height, to: height, pixels: region.rows, by: filter)
        guard let across, let down, losesHeight(to: width, height) else {
            return resized(across: across, down: down, region)
        }
        let columns = across.reach
        let strip = resized(
            across: nil, down: down,
            PixelRegion(x: columns.lowerBound, y: region.y, width: columns.count, height: region.height))
        return strip.resized(
            across: across.moved(by: -columns.lowerBound), down: nil,
            PixelRegion(x: 0, y: 0, width: region.width, height: region.height))
    }

    /// Whether columns are resized before rows: as in Pillow from version 13 on, where the height shrinks by more than
    /// twice as many pixels as the width. The pass between the two rounds to bytes, so that their order shows.
    private func losesHeight(to width: Int, _ height: Int) -> Bool {
        height < self.height && self.height - height > 2 * (self.width - width)
    }

    /// Rows, then columns; nil weights leave the pixels of the region as they are.
    private func resized(across: ResizeWeights?, down: ResizeWeights?, _ region: PixelRegion) -> PixelImage {
        let rowLength = 3 * region.width
        let rows = down?.reach
        var sums = down.map { RowSums(weights: $0, rowLength: rowLength) }
        var resizedRow = [UInt8](repeating: 0, count: rowLength)
        // Plain pointers: the loops inside are the whole cost of resizing, and run several times as long with checks.
        let result = [UInt8](unsafeUninitializedCapacity: rowLength * region.height) { result, count in
            pixels.withUnsafeBufferPointer { pixels in
                resizedRow.withUnsafeMutableBufferPointer { resizedRow in
                    for row in rows ?? region.rows {
                        let source = pixels.extracting(3 * self.width * row..<3 * self.width * (row + 1))
                        let resized: UnsafeBufferPointer<UInt8>
                        if let across {
                            across.apply(to: source, into: resizedRow)
                            resized = UnsafeBufferPointer(resizedRow)
                        } else {
                            resized = source.extracting(3 * region.x..<3 * region.x + rowLength)
                        }
                        if sums == nil {
                            let to = rowLength * (row - region.y)
                            _ = result.extracting(to..<to + rowLength).update(fromContentsOf: resized)
                        } else {
                            sums?.add(resized, row: row, into: result)
                        }
                    }
                }
            }
            count = rowLength * region.height
        }
        return PixelImage(width: region.width, height: region.height, pixels: result)
    }
}

private let half: Int32 = 1 << (ResizeWeights.fractionBits - 1)

extension ResizeWeights {
    /// One row of pixels from another, rounded to bytes.
    fileprivate func apply(to source: UnsafeBufferPointer<UInt8>, into row: UnsafeMutableBufferPointer<UInt8>)
    {
        weights.withUnsafeBufferPointer { weights in
            for (pixel, columns) in sources.enumerated() {
                var (red, green, blue) = (half, half, half)
                var from = 3 * columns.lowerBound
                for index in starts[pixel]..<starts[pixel] + columns.count {
                    let weight = weights[index]
                    red &+= Int32(source[from]) &* weight
                    green &+= Int32(source[from + 1]) &* weight
                    blue &+= Int32(source[from + 2]) &* weight
                    from += 3
                }
                row[3 * pixel] = UInt8(clamping: red >> Self.fractionBits)
                row[3 * pixel + 1] = UInt8(clamping: green >> Self.fractionBits)
                row[3 * pixel + 2] = UInt8(clamping: blue >> Self.fractionBits)
            }
        }
    }
}

/// Rows of the result that rows of the source are being added to.
///
/// Each row of the source is used once, as soon as it is there. Rows of the result are begun and finished in their
/// order, so that only few are held: those that one row of the source has a part in.
private struct RowSums {
    private let weights: ResizeWeights
    private let rowLength: Int
    /// The rows that are begun and not finished; row r is in place r modulo `places`.
    private var open = 0..<0
    private let places: Int
    private var sums: [Int32]

    init(weights: ResizeWeights, rowLength: Int) {
        self.weights = weights
        self.rowLength = rowLength
        places = Self.mostOpen(weights.sources)
        sums = [Int32](repeating: 0, count: places * rowLength)
    }

    private static func mostOpen(_ sources: [Range<Int>]) -> Int {
        var (most, first) = (0, 0)
        for (row, source) in sources.enumerated() {
            while sources[first].upperBound <= source.lowerBound { first += 1 }
            most = max(most, row + 1 - first)
        }
        return most
    }

    mutating func add(
        _ bytes: UnsafeBufferPointer<UInt8>, row: Int, into result: UnsafeMutableBufferPointer<UInt8>
    ) {
        let sources = weights.sources
        sums.withUnsafeMutableBufferPointer { sums in
            while open.upperBound < sources.count, sources[open.upperBound].lowerBound <= row {
                let start = open.upperBound % places * rowLength
                sums.extracting(start..<start + rowLength).update(repeating: half)
                open = open.lowerBound..<open.upperBound + 1
            }
            for target in open {
                let weight = weights.weights[weights.starts[target] + row - sources[target].lowerBound]
                let start = target % places * rowLength
                let sum = sums.extracting(start..<start + rowLength)
                for index in 0..<rowLength { sum[index] &+= Int32(bytes[index]) &* weight }
            }
            while let target = open.first, sources[target].upperBound == row + 1 {
                let start = target % places * rowLength
                for index in 0..<rowLength {
                    result[target * rowLength + index] = UInt8(
                        clamping: sums[start + index] >> ResizeWeights.fractionBits)
                }
                open = target + 1..<open.upperBound
            }
        }
    }
}
