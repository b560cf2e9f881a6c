import Foundation
import Images
import JSON
import Testing

@Suite struct ResizeTests {
    @Test func equalsPillow() throws {
        let list = try Fixtures.json("resized.json")
        let rows = try #require(list.array)
        #expect(rows.count > 80)
        for row in rows {
            let from = try #require(row["from"]?.ints)
            let to = try #require(row["to"]?.ints)
            let filter = try filter(row["filter"]?.string)
            let source = PixelImage.pattern(width: from[0], height: from[1])
            let resized = source.resized(width: to[0], height: to[1], by: filter)
            #expect(resized.width == to[0] && resized.height == to[1])
            #expect(crc32(resized.pixels) == row["crc32"]?.int, "\(from) to \(to), \(filter)")
        }
    }

    private func filter(_ name: String?) throws -> ResizeFilter {
        try #require(ResizeFilter.allCases.first { "\($0)" == name })
    }

    /// Two whole passes, one image after the other, against rows that are added up as they come.
    @Test(arguments: ResizeFilter.allCases)
    func equalsPlainLoops(_ filter: ResizeFilter) {
        let sides = [1, 2, 3, 5, 8, 13, 31, 64, 65]
        for (index, width) in sides.enumerated() {
            for height in sides {
                let source = PixelImage.pattern(width: width, height: height)
                let to = (sides[(index + 4) % sides.count] + 1, sides[(index + height) % sides.count] + 2)
                let plain = plainlyResized(source, to.0, to.1, filter)
                let fast = source.resized(width: to.0, height: to.1, by: filter)
                #expect(fast == plain, "\(width) x \(height) to \(to)")
            }
        }
    }

    @Test func aRegionIsWhatCroppingGives() {
        let source = PixelImage.pattern(width: 50, height: 31)
        for (width, height) in [
            (20, 90), (50, 12), (77, 31), (50, 31), (9, 9), (200, 124), (47, 11), (90, 7),
        ] {
            let whole = source.resized(width: width, height: height, by: .bicubic)
            for (x, y) in [(0, 0), (3, 2), (width - 5, height - 4)] {
                let region = PixelRegion(x: x, y: y, width: 5, height: 4)
                let part = source.resized(width: width, height: height, by: .bicubic, keeping: region)
                #expect(part == whole.cropped(x: x, y: y, width: 5, height: 4))
            }
        }
    }

    /// The resized image would have 2.3 billion pixels.
    @Test func aRegionOfAHugeImageCostsLittle() {
        let source = PixelImage.pattern(width: 1, height: 20_000)
        let region = PixelRegion(x: 0, y: 20_000 * 168, width: 336, height: 336)
        let part = source.resized(width: 336, height: 20_000 * 336, by: .bicubic, keeping: region)
        #expect(part.width == 336 && part.height == 336)
        // Enlarged 336 times, the middle of a pixel is that pixel.
        #expect(part.pixel(0, 168) == source.pixel(0, 10_000))
    }

    @Test func oneColorStaysOneColor() {
        let source = PixelImage(
            width: 40, height: 30, pixels: (0..<1200).flatMap { _ in [255, 7, 0] as [UInt8] })
        for filter in ResizeFilter.allCases {
            let resized = source.resized(width: 33, height: 57, by: filter)
            #expect((0..<33 * 57).allSatisfy { resized.pixel($0 % 33, $0 / 33) == [255, 7, 0] })
        }
    }
}

/// Pillow's way: rows, rounded to bytes, then columns; the other way round where the height loses much more.
private func plainlyResized(
    _ image: PixelImage, _ width: Int, _ height: Int, _ filter: ResizeFilter
) -> PixelImage {
    func alongColumns(_ image: PixelImage) -> PixelImage {
        swapped(alongRows(swapped(image), height, filter))
    }
    let lost = (across: image.width - width, down: image.height - height)
    return lost.down > 0 && lost.down > 2 * lost.across
        ? alongRows(alongColumns(image), width, filter) : alongColumns(alongRows(image, width, filter))
}

private func swapped(_ image: PixelImage) -> PixelImage {
    var pixels: [UInt8] = []
    for x in 0..<image.width { for y in 0..<image.height { pixels += image.pixel(x, y) } }
    return PixelImage(width: image.height, height: image.width, pixels: pixels)
}

private func alongRows(_ image: PixelImage, _ width: Int, _ filter: ResizeFilter) -> PixelImage {
    if width == image.width { return image }
    let scale = Double(image.width) / Double(width)
    let stretch = max(scale, 1)
    let reach: Double =
        switch filter {
        case .bilinear: 1
        case .bicubic: 2
        case .lanczos: 3
        }
    var result: [UInt8] = []
    for y in 0..<image.height {
        for x in 0..<width {
            let center = (Double(x) + 0.5) * scale
            let from = max(0, Int(center - reach * stretch + 0.5))
            let to = min(image.width, Int(center + reach * stretch + 0.5))
            let weights = (from..<to).map { plainWeight(filter, (Double($0) - center + 0.5) * (1 / stretch)) }
            let sum = weights.reduce(0, +)
            for channel in 0..<3 {
                var total = 1 << 21
                for (source, weight) in zip(from..<to, weights) {
                    let fixed = Int((weight / sum * 4_194_304).rounded(.toNearestOrAwayFromZero))
                    total += fixed * Int(image.pixel(source, y)[channel])
                }
                result.append(UInt8(min(max(total >> 22, 0), 255)))
            }
        }
    }
    return PixelImage(width: width, height: image.height, pixels: result)
}

private func plainWeight(_ filter: ResizeFilter, _ offset: Double) -> Double {
    let x = abs(offset)
    switch filter {
    case .bilinear: return max(0, 1 - x)
    case .bicubic:
        if x < 1 { return (1.5 * x - 2.5) * x * x + 1 }
        return x < 2 ? (((x - 5) * x + 8) * x - 4) * -0.5 : 0
    case .lanczos:
        if x == 0 { return 1 }
        return x < 3 ? sin(x * .pi) / (x * .pi) * (sin(x / 3 * .pi) / (x / 3 * .pi)) : 0
    }
}
