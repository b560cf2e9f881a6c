import CImageCodecs

/// PNG, section "Datastream structure": a signature, then chunks of length, name, data and checksum.
enum PNGFile {
    /// libpng's own limit for a side. It keeps two rows in memory, which are small therefore.
    static let longestSide = 1_000_000

    static func header(of bytes: [UInt8]) throws(ImageError) -> ImageHeader {
        guard let width = bytes.bigEndian32(at: 16), let height = bytes.bigEndian32(at: 20) else {
            throw .truncated(.png, expected: "a header of 25 bytes")
        }
        guard bytes.bigEndian32(at: 8) == 13, bytes.holds("IHDR", at: 12) else {
            throw .damaged(.png, expected: "the chunk IHDR of 13 bytes first", found: "another chunk")
        }
        let sides = 1...0x7FFF_FFFF
        guard sides.contains(width), sides.contains(height) else {
            throw .damaged(
                .png, expected: "sides of 1 to \(sides.upperBound) pixels", found: "\(width) x \(height)")
        }
        return ImageHeader(width: width, height: height, orientation: notes(in: bytes).orientation)
    }

    private static func notes(in bytes: [UInt8]) -> OrientationNotes {
        var notes = OrientationNotes()
        var at = 8
        while let length = bytes.bigEndian32(at: at) {
            if bytes.holds("eXIf", at: at + 4) {
                notes.read(exif: bytes.clamped(at + 8, length))
            } else if bytes.holds("iTXt", at: at + 4), bytes.holds("XML:com.adobe.xmp\0\0", at: at + 8) {
                // Packed packets, with a 1 in place of the second zero, are left alone.
                notes.read(xmp: bytes.clamped(at + 8, length))
            }
            at += 12 + length
        }
        return notes
    }

    static func decode(_ bytes: [UInt8], _ header: ImageHeader) throws(ImageError) -> PixelImage {
        let size = 3 * header.width * header.height
        if max(header.width, header.height) > longestSide {
            throw .unsupported(
                .png, expected: "sides of at most \(longestSide) pixels",
                found: "\(header.width) x \(header.height)")
        }
        var result = LIGHTLLM_PNG_DAMAGED
        let pixels = [UInt8](unsafeUninitializedCapacity: size) { pixels, count in
            result = lightllm_png_rgb(
                bytes, bytes.count, UInt32(header.width), UInt32(header.height), pixels.baseAddress)
            // What was not written is never looked at.
            count = result == LIGHTLLM_PNG_READ ? size : 0
        }
        switch result {
        case LIGHTLLM_PNG_READ: return PixelImage(width: header.width, height: header.height, pixels: pixels)
        case LIGHTLLM_PNG_ENDS_EARLY: throw .truncated(.png, expected: "\(header.height) rows of pixels")
        default: throw .damaged(.png, expected: "\(header.height) rows of pixels", found: "damaged data")
        }
    }
}
