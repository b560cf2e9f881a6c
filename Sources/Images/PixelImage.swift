/// An image as red, green and blue bytes, row by row from the top.
public struct PixelImage: Sendable, Equatable {
    public let width: Int
    public let height: Int
    /// 3 · width · height bytes.
    public let pixels: [UInt8]

    public init(width: Int, height: Int, pixels: [UInt8]) {
        precondition(width > 0 && height > 0 && pixels.count == 3 * width * height)
        self.width = width
        self.height = height
        self.pixels = pixels
    }

    /// The part with the given upper left corner and size. What lies outside the image is black.
    public func cropped(x: Int, y: Int, width: Int, height: Int) -> PixelImage {
        placed(atX: -x, y: -y, width: width, height: height, color: (0, 0, 0))
    }

    /// The image in the centre of a larger one of one colour. An odd column or row left over lies right or below.
    ///
    /// A size below the image's leaves it as it is along that side.
    public func padded(toWidth width: Int, height: Int, color: (UInt8, UInt8, UInt8)) -> PixelImage {
        let (width, height) = (max(width, self.width), max(height, self.height))
        return placed(
            atX: (width - self.width) / 2, y: (height - self.height) / 2, width: width, height: height,
            color: color)
    }

    private func placed(
        atX left: Int, y top: Int, width: Int, height: Int, color: (UInt8, UInt8, UInt8)
    ) -> PixelImage {
        precondition(width > 0 && height > 0)
        var result: [UInt8]
        if color.0 == color.1 && color.1 == color.2 {
            result = [UInt8](repeating: color.0, count: 3 * width * height)
        } else {
            result = []
            result.reserveCapacity(3 * width * height)
            for _ in 0..<width * height {
                result.append(color.0)
                result.append(color.1)
                result.append(color.2)
            }
        }
        let columns = max(left, 0)..<max(min(left + self.width, width), max(left, 0))
        let rows = max(top, 0)..<max(min(top + self.height, height), max(top, 0))
        if !columns.isEmpty {
            for row in rows {
                let from = 3 * ((row - top) * self.width + columns.lowerBound - left)
                let to = 3 * (row * width + columns.lowerBound)
                result.replaceSubrange(
                    to..<to + 3 * columns.count, with: pixels[from..<from + 3 * columns.count])
            }
        }
        return PixelImage(width: width, height: height, pixels: result)
    }
}
