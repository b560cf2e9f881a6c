import Images
import Testing

/// Files that are made to break a reader, as published attacks on servers of models were.
@Suite struct HostileImageTests {
    @Test func aPixelIsAnImage() throws {
        let image = try EncodedImage(plainPNG(1, 1, color: [1, 2, 3])).decoded()
        #expect(image == PixelImage(width: 1, height: 1, pixels: [1, 2, 3]))
        #expect(image.resized(width: 28, height: 56, by: .bicubic).pixel(27, 55) == [1, 2, 3])
    }

    @Test func aLineIsAnImage() throws {
        for (width, height) in [(1, 100_000), (100_000, 1)] {
            let image = try EncodedImage(plainPNG(width, height, color: [9, 8, 7])).decoded()
            #expect(image.width == width && image.height == height)
            #expect(image.pixel(width - 1, height - 1) == [9, 8, 7])
            #expect(image.resized(width: 28, height: 28, by: .bicubic).pixel(14, 14) == [9, 8, 7])
        }
    }

    @Test func aHugeSizeInASmallFileIsRefusedByItsHeader() {
        let image = pngHeader(50_000, 50_000) + pngChunk("IDAT", zlibStored([])) + pngChunk("IEND", [])
        #expect(image.count < 100)
        let limit = ImageLimits().pixels
        let tooLarge = { ImageError.tooManyPixels(limit: limit, width: $0, height: $1) }
        #expect(throws: tooLarge(50_000, 50_000)) { try EncodedImage(image) }
        #expect(throws: tooLarge(0x7FFF_FFFF, 0x7FFF_FFFF)) {
            try EncodedImage(pngHeader(0x7FFF_FFFF, 0x7FFF_FFFF))
        }
        #expect(throws: tooLarge(65_535, 65_535)) { try EncodedImage(jpegHeader(65_535, 65_535)) }
        #expect(throws: tooLarge(16_384, 16_384)) {
            try EncodedImage(webp(webpCanvas(16_384, 16_384) + webpChunk("VP8L", [0x2F])))
        }
        #expect(throws: tooLarge(16_384, 16_384)) {
            try EncodedImage(webp(webpChunk("VP8L", [0x2F, 0xFF, 0xFF, 0xFF, 0x0F, 0, 0, 0, 0, 0])))
        }
    }

    @Test func theLimitsAreTheCallers() throws {
        var limits = ImageLimits()
        let image = plainPNG(10, 10, color: [0, 0, 0])
        limits.pixels = 100
        #expect(try EncodedImage(image, limits: limits).width == 10)
        limits.pixels = 99
        #expect(throws: ImageError.tooManyPixels(limit: 99, width: 10, height: 10)) {
            try EncodedImage(image, limits: limits)
        }
        limits.bytes = image.count - 1
        #expect(throws: ImageError.tooManyBytes(limit: image.count - 1, found: image.count)) {
            try EncodedImage(image, limits: limits)
        }
        limits = ImageLimits()
        limits.pixels = .max
        #expect(throws: ImageError.tooManyPixels(limit: 1 << 32, width: 0x7FFF_FFFF, height: 0x7FFF_FFFF)) {
            try EncodedImage(pngHeader(0x7FFF_FFFF, 0x7FFF_FFFF), limits: limits)
        }
    }

    /// Wherever a file is cut, it is an error, or the same image if what is missing came after the pixels.
    @Test(arguments: [
        "color420.jpg", "progressive444.jpg", "cmyk.jpg", "rgb8_interlaced.png", "palette4.png", "lossy.webp",
        "lossless_alpha.webp", "animated.webp", "turned6.webp", "animated.png",
    ])
    func aTruncatedFileIsRefused(_ name: String) throws {
        let bytes = try Fixtures.bytes(name)
        let whole = try EncodedImage(bytes).decoded()
        for length in 0..<bytes.count {
            let cut = Array(bytes[..<length])
            guard let image = try? EncodedImage(cut), let decoded = try? image.decoded() else { continue }
            #expect(name.hasSuffix("jpg") == false, "\(length) of \(bytes.count)")
            // A turn that is noted behind the pixels is lost with them.
            #expect(decoded.pixels.count == whole.pixels.count && length > bytes.count / 4)
            if !name.contains("turned") { #expect(decoded == whole) }
        }
        #expect(EncodedImage.failure(Array(bytes[..<(bytes.count / 2)])) != nil || name.hasPrefix("animated"))
    }

    @Test func anAnimationOfManyFramesGivesItsFirst() throws {
        let moving = try Fixtures.bytes("animated.webp")
        let frames = (0..<10_000).flatMap { _ in webpChunk("ANMF", [UInt8](repeating: 0, count: 16)) }
        let long = webp(Array(moving[12...]) + frames)
        #expect(try EncodedImage(long).decoded() == Fixtures.expected("animated.webp"))

        let still = plainPNG(3, 2, color: [5, 6, 7])
        let control = (0..<10_000).flatMap { number in
            pngChunk(
                "fcTL",
                bigEndian32(number) + bigEndian32(3) + bigEndian32(2) + [UInt8](repeating: 0, count: 14))
        }
        let animated = still.dropLast(12) + control + still.suffix(12)
        #expect(try EncodedImage(Array(animated)).decoded().pixel(2, 1) == [5, 6, 7])
    }

    /// Neither notes that begin over and over nor many markers take longer than their length.
    @Test(.timeLimit(.minutes(1)))
    func longNotesAreReadOnce() throws {
        let names = [UInt8]((0..<500_000).flatMap { _ in Array("Exif\0\0".utf8) })
        let marks = Array("XML:com.adobe.xmp\0\0\0\0\0".utf8) + [UInt8](repeating: 0x74, count: 3_000_000)
        let image = plainPNG(2, 3, color: [1, 1, 1])
        let notes = pngChunk("eXIf", names) + pngChunk("iTXt", marks) + pngChunk("iTXt", marks)
        #expect(try EncodedImage(image[..<33] + notes + image[33...]).decoded().height == 3)
        let photo = try Fixtures.bytes("color420.jpg")
        let filled = photo[..<2] + [UInt8](repeating: 0xFF, count: 3_000_000) + photo[2...]
        #expect(try EncodedImage(Array(filled)).decoded() == Fixtures.expected("color420.jpg"))
    }

    @Test(arguments: [
        ("GIF", Array("GIF89a".utf8)), ("GIF", Array("GIF87a".utf8)), ("BMP", Array("BM\0\0\0\0".utf8)),
        ("TIFF", Array("II*\0".utf8)), ("TIFF", [0x4D, 0x4D, 0, 0x2A]),
        ("HEIC", Array("\0\0\0\u{18}ftypheic".utf8)), ("AVIF", Array("\0\0\0\u{18}ftypavif".utf8)),
        ("video", Array("\0\0\0\u{18}ftypisom".utf8)), ("video", [0x1A, 0x45, 0xDF, 0xA3]),
        ("video", Array("RIFF\0\0\0\0AVI LIST".utf8)), ("SVG or other text", Array("<svg/>".utf8)),
        ("SVG or other text", Array("\u{FEFF} \n<?xml version='1.0'?>".utf8)),
        ("PDF", Array("%PDF-1.7".utf8)),
        ("JPEG XL", [0xFF, 0x0A, 0, 0]), ("none that is known", [0xFF, 0xD8]),
        ("none that is known", Array("RIFF".utf8)), ("none that is known", Array("/9j/4AAQ".utf8)),
    ])
    func otherFormatsAreNamed(_ name: String, _ bytes: [UInt8]) {
        // Ten thousand frames, or a hundred thousand: they are not looked at.
        for padding in [0, 1000] {
            let file = bytes + [UInt8](repeating: 0, count: padding)
            #expect(throws: ImageError.unknownFormat(found: name)) { try EncodedImage(file) }
        }
    }

    @Test func kindsOfJPEGThatAreNotReadAreNamed() {
        func kind(_ bytes: [UInt8]) -> String? {
            guard case .unsupported(.jpeg, let expected, let found)? = EncodedImage.failure(bytes) else {
                return nil
            }
            return "\(expected): \(found)"
        }
        #expect(kind(jpegHeader(8, 8, marker: 0xC3)) == "a sequential or progressive image: kind 3")
        #expect(kind(jpegHeader(8, 8, bits: 12)) == "8 bits a sample: 12")
        #expect(kind(jpegHeader(8, 8, colors: 2)) == "1, 3 or 4 colours: 2")
        let scans = (0..<65).flatMap { _ in jpegSegment(0xDA, [1, 1, 0, 0, 63, 0]) + [0, 0] }
        #expect(kind(jpegHeader(8, 8) + scans + [0xFF, 0xD9]) == "at most 64 scans: more")
    }

    /// The decoder reports an error that follows a flaw as a flaw, with rows that were never written.
    @Test func anErrorAfterAFlawIsAnError() throws {
        let bytes = try Fixtures.bytes("progressive444.jpg")
        let table = try #require(bytes.indices.dropLast().last { bytes[$0] == 0xFF && bytes[$0 + 1] == 0xC4 })
        let rest = Array(bytes[table...])
        let flaw: [UInt8] = [0x11, 0x22]
        #expect(EncodedImage.failure(bytes[..<table] + flaw + rest) == nil)
        let unknown: [UInt8] = [0xFF, 0x05, 0, 2]
        let expected = ImageError.damaged(.jpeg, expected: "23 rows of pixels", found: "damaged data")
        #expect(EncodedImage.failure(bytes[..<table] + unknown + rest) == expected)
        #expect(EncodedImage.failure(bytes[..<table] + flaw + unknown + rest) == expected)
    }

    @Test func partsThatContradictTheHeaderAreErrors() throws {
        func isDamaged(_ bytes: [UInt8]) -> Bool {
            if case .damaged? = EncodedImage.failure(bytes) { return true }
            return false
        }
        #expect(isDamaged(pngHeader(0, 5)) && isDamaged(jpegHeader(0, 5)) && isDamaged(jpegHeader(5, 0)))
        #expect(isDamaged(pngHeader(4, 4, bits: 3)) && isDamaged(pngHeader(4, 4, color: 1)))
        #expect(isDamaged(pngHeader(4, 4, color: 3) + pngChunk("IDAT", zlibStored([0, 0]))))
        #expect(isDamaged(pngHeader(4, 4) + pngChunk("IDAT", zlibStored([9, 9])) + pngChunk("IEND", [])))
        #expect(isDamaged(pngSignature + pngChunk("IDAT", zlibStored([0])) + pngHeader(4, 4).dropFirst(8)))
        #expect(isDamaged(webp(webpChunk("VP8 ", [0, 0, 0, 1, 2, 3, 4, 5, 6, 7]))))
        // A frame that lies outside the canvas, and one whose data has another size than its header says.
        let moving = try Fixtures.bytes("animated.webp")
        let at =
            try #require(moving.indices.first { Array(moving[$0...].prefix(4)) == Array("ANMF".utf8) }) + 8
        for (place, value) in [(0, 1), (3, 1), (6, 35), (9, 21), (6, 200), (9, 200)] {
            var changed = moving
            changed[at + place] = UInt8(value)
            #expect(isDamaged(changed), "\(place)")
        }
    }
}
