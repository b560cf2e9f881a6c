import CTurboJPEG

/// JPEG (ITU-T T.81, annex B): markers, most of them with a segment; entropy coded data after each start of scan.
enum JPEGFile {
    /// Ordinary progressive files have about ten. Each scan costs a pass over all pixels, however few bytes it has.
    static let mostScans = 64

    static func header(of bytes: [UInt8]) throws(ImageError) -> ImageHeader {
        var notes = OrientationNotes()
        var frame: ImageHeader?
        var at = 2
        while let marker = nextMarker(in: bytes, &at) {
            switch marker {
            case 0x01, 0xD0...0xD7: continue
            case 0xD8, 0xD9:
                throw .damaged(.jpeg, expected: "a frame and a scan", found: "the end of the image")
            case 0xDA:
                guard var frame else {
                    throw .damaged(.jpeg, expected: "a frame before the first scan", found: "none")
                }
                frame.orientation = notes.orientation
                return frame
            default: break
            }
            guard let length = bytes.bigEndian16(at: at) else { break }
            if length < 2 {
                throw .damaged(.jpeg, expected: "segments of 2 bytes or more", found: "\(length)")
            }
            switch marker {
            case 0xC0...0xCF where ![0xC4, 0xC8, 0xCC].contains(marker):
                if frame != nil { throw .damaged(.jpeg, expected: "one frame", found: "two") }
                frame = try self.frame(of: bytes, at: at, marker)
            case 0xE1 where bytes.holds("Exif\0\0", at: at + 2):
                notes.read(exif: bytes.clamped(at + 2, length - 2))
            case 0xE1 where bytes.holds("http://ns.adobe.com/xap/1.0/\0", at: at + 2):
                notes.read(xmp: bytes.clamped(at + 2, length - 2))
            default: break
            }
            at += length
        }
        throw .truncated(.jpeg, expected: "a frame and a scan")
    }

    /// The next marker's code, with `at` behind it. Bytes between segments are skipped, as libjpeg does.
    private static func nextMarker(in bytes: [UInt8], _ at: inout Int) -> UInt8? {
        while at < bytes.count {
            guard let found = bytes[at...].firstIndex(of: 0xFF) else { return nil }
            at = found
            while bytes.byte(at: at) == 0xFF { at += 1 }
            guard at < bytes.count else { return nil }
            at += 1
            if bytes[at - 1] != 0 { return bytes[at - 1] }
        }
        return nil
    }

    private static func frame(of bytes: [UInt8], at: Int, _ marker: UInt8) throws(ImageError) -> ImageHeader {
        guard let bits = bytes.byte(at: at + 2), let height = bytes.bigEndian16(at: at + 3),
            let width = bytes.bigEndian16(at: at + 5), let components = bytes.byte(at: at + 7)
        else { throw .truncated(.jpeg, expected: "a frame of 8 bytes or more") }
        // Sequential and progressive, with Huffman or arithmetic coding.
        guard [0xC0, 0xC1, 0xC2, 0xC9, 0xCA].contains(marker) else {
            throw .unsupported(
                .jpeg, expected: "a sequential or progressive image", found: "kind \(marker - 0xC0)")
        }
        guard bits == 8 else {
            throw .unsupported(.jpeg, expected: "8 bits a sample", found: "\(bits)")
        }
        guard width > 0, height > 0 else {
            throw .damaged(.jpeg, expected: "sides of 1 to 65535 pixels", found: "\(width) x \(height)")
        }
        guard [1, 3, 4].contains(components) else {
            throw .unsupported(.jpeg, expected: "1, 3 or 4 colours", found: "\(components)")
        }
        return ImageHeader(width: width, height: height, orientation: .upright, components: components)
    }

    /// Refuses a file whose end is missing, which the decoder would fill up with grey, and one with very many scans.
    private static func checkScans(of bytes: [UInt8]) throws(ImageError) {
        var at = 2
        var scans = 0
        while let marker = nextMarker(in: bytes, &at) {
            if marker == 0xDA { scans += 1 }
            if scans > mostScans {
                throw .unsupported(.jpeg, expected: "at most \(mostScans) scans", found: "more")
            }
            if marker == 0xD9 && scans > 0 { return }
            // Before the first scan, segments may hold other images. Behind it lengths are not to be relied on: the
            // decoder gets over damage there, and goes on at what looks like a marker.
            if scans == 0, !(marker == 0x01 || (0xD0...0xD8).contains(marker)) {
                at += bytes.bigEndian16(at: at) ?? 0
            }
        }
        throw .truncated(.jpeg, expected: "the mark of the end")
    }

    static func decode(_ bytes: [UInt8], _ header: ImageHeader) throws(ImageError) -> PixelImage {
        try checkScans(of: bytes)
        let (width, height) = (header.width, header.height)
        let channels = header.components == 4 ? 4 : 3
        guard let decoder = tjInitDecompress() else {
            throw .damaged(.jpeg, expected: "a decoder", found: "none")
        }
        defer { tjDestroy(decoder) }
        // The decoder's own view of the size decides what it writes.
        var (itsWidth, itsHeight, sampling, space) = (Int32(0), Int32(0), Int32(0), Int32(0))
        _ = tjDecompressHeader3(
            decoder, bytes, UInt(bytes.count), &itsWidth, &itsHeight, &sampling, &space)
        guard itsWidth == width, itsHeight == height else {
            throw .damaged(.jpeg, expected: "a header of \(width) x \(height) pixels", found: "damaged data")
        }
        let format = channels == 4 ? TJPF_CMYK : TJPF_RGB
        let size = channels * width * height
        let lastRow = size - channels * width..<size
        var isRead = false
        var pixels = [UInt8](unsafeUninitializedCapacity: size) { pixels, count in
            for index in lastRow { pixels[index] = mark(at: index) }
            let status = tjDecompress2(
                decoder, bytes, UInt(bytes.count), pixels.baseAddress, itsWidth,
                Int32(channels) * itsWidth, itsHeight, Int32(format.rawValue), 0)
            // Flaws that decoders get over are warnings. But so is an error after a flaw; then the rows, which are
            // written in their order, end before the last.
            let isFlawed = status != 0 && tjGetErrorCode(decoder) == Int32(TJERR_WARNING.rawValue)
            isRead = status == 0 || (isFlawed && lastRow.contains { pixels[$0] != mark(at: $0) })
            count = isRead ? size : 0
        }
        guard isRead else {
            throw .damaged(.jpeg, expected: "\(height) rows of pixels", found: "damaged data")
        }
        if channels == 4 { convertFromCMYK(&pixels) }
        return PixelImage(width: width, height: height, pixels: pixels)
    }

    /// What no image's last row consists of.
    private static func mark(at index: Int) -> UInt8 {
        UInt8(truncatingIfNeeded: index &* 0x9E37_79B9 >> 16)
    }

    /// Files hold inverted inks. Pillow takes each ink's share off what black leaves: (255 − k)(1 − c/255).
    private static func convertFromCMYK(_ pixels: inout [UInt8]) {
        let count = pixels.count / 4
        // Plain pointers: one check for each of millions of bytes would be most of the time.
        pixels.withUnsafeMutableBufferPointer { pixels in
            for pixel in 0..<count {
                let black = Int(pixels[4 * pixel + 3])
                for channel in 0..<3 {
                    let ink = 255 - Int(pixels[4 * pixel + channel])
                    let product = ink * black + 128
                    pixels[3 * pixel + channel] = UInt8(
                        clamping: black - ((product >> 8) + product) >> 8)
                }
            }
        }
        pixels.removeLast(count)
    }
}
