public import Images

/// Bytes of pixels as the numbers that a network was trained on: `(byte / 255 - mean) / deviation`, by channel.
public struct PixelNormalization: Sendable {
    /// For each of the three channels the number of each byte.
    let numbers: [[Float]]

    /// `mean` and `deviation` have three values each.
    public init(mean: [Float], deviation: [Float], scale: Float = 1 / 255) {
        precondition(mean.count == 3 && deviation.count == 3, "three channels")
        numbers = zip(mean, deviation).map { mean, deviation in
            (0..<256).map { (Float($0) * scale - mean) / deviation }
        }
    }
}

/// Square pieces of an image, side by side, as rows of numbers: channel by channel, `frames` times each, then row by
/// row.
public struct PatchLayout: Sendable {
    /// Pixels of a side.
    public let size: Int
    public let frames: Int
    let normalization: PixelNormalization

    public init(size: Int, frames: Int = 1, _ normalization: PixelNormalization) {
        (self.size, self.frames, self.normalization) = (size, frames, normalization)
    }

    public var columns: Int { 3 * frames * size * size }

    /// The patches of an image whose sides are multiples of theirs, in the order of squares of `block` patches a side,
    /// row by row within each.
    public func append(_ image: PixelImage, block: Int = 1, to rows: inout [Float]) {
        let (across, down) = (image.width / size, image.height / size)
        rows.reserveCapacity(rows.count + across * down * columns)
        for blockRow in 0..<down / block {
            for blockColumn in 0..<across / block {
                for index in 0..<block * block {
                    let row = blockRow * block + index / block, column = blockColumn * block + index % block
                    append(image, x: column * size, y: row * size, to: &rows)
                }
            }
        }
    }

    private func append(_ image: PixelImage, x: Int, y: Int, to rows: inout [Float]) {
        for channel in 0..<3 {
            let numbers = normalization.numbers[channel]
            for _ in 0..<frames {
                for line in y..<y + size {
                    let start = 3 * (line * image.width + x) + channel
                    for pixel in 0..<size { rows.append(numbers[Int(image.pixels[start + 3 * pixel])]) }
                }
            }
        }
    }
}
