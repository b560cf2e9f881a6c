import Images
import Testing

@Suite struct PlacingTests {
    @Test func croppingTakesAPart() {
        let image = PixelImage.pattern(width: 5, height: 4)
        let part = image.cropped(x: 1, y: 2, width: 3, height: 2)
        for (x, y) in [(0, 0), (2, 0), (0, 1), (2, 1)] {
            #expect(part.pixel(x, y) == image.pixel(x + 1, y + 2))
        }
        #expect(image.cropped(x: 0, y: 0, width: 5, height: 4) == image)
    }

    @Test func whatLiesOutsideIsBlack() {
        let image = PixelImage.pattern(width: 5, height: 4)
        let part = image.cropped(x: -2, y: -1, width: 9, height: 6)
        for y in 0..<6 {
            for x in 0..<9 {
                let isInside = (2..<7).contains(x) && (1..<5).contains(y)
                #expect(part.pixel(x, y) == (isInside ? image.pixel(x - 2, y - 1) : [0, 0, 0]))
            }
        }
        #expect(image.cropped(x: 5, y: 0, width: 2, height: 2).pixels.allSatisfy { $0 == 0 })
        #expect(image.cropped(x: 0, y: -9, width: 2, height: 2).pixels.allSatisfy { $0 == 0 })
    }

    /// As `Image.paste(image, ((side - width) // 2, …))` does.
    @Test func paddingCentres() {
        let image = PixelImage.pattern(width: 5, height: 2)
        let square = image.padded(toWidth: 5, height: 5, color: (122, 116, 104))
        #expect(square.height == 5)
        #expect(square.pixel(3, 0) == [122, 116, 104])
        #expect(square.pixel(3, 1) == image.pixel(3, 0))
        #expect(square.pixel(4, 2) == image.pixel(4, 1))
        #expect(square.pixel(0, 3) == [122, 116, 104] && square.pixel(0, 4) == [122, 116, 104])
        #expect(image.padded(toWidth: 1, height: 1, color: (9, 9, 9)) == image)
    }
}
