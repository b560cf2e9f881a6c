import CWebP

/// WebP's container (RFC 9649, section 2): a RIFF file whose chunks are the image, or a header and parts.
enum WebPFile {
    /// Where the image's data is, and where it goes.
    private struct Frame {
        var data: Range<Int>
        var x = 0
        var y = 0
        var width: Int
        var height: Int
    }

    static func header(of bytes: [UInt8]) throws(ImageError) -> ImageHeader {
        let (width, height) = try size(of: bytes[...])
        var notes = OrientationNotes()
        for chunk in Chunks(bytes: bytes, at: 12, end: bytes.count) {
            if bytes.holds("EXIF", at: chunk.lowerBound - 8) { notes.read(exif: bytes[chunk]) }
            if bytes.holds("XMP ", at: chunk.lowerBound - 8) { notes.read(xmp: bytes[chunk]) }
        }
        return ImageHeader(width: width, height: height, orientation: notes.orientation)
    }

    /// The size that the data's first header names: the canvas's where there is one.
    private static func size(of bytes: ArraySlice<UInt8>) throws(ImageError) -> (width: Int, height: Int) {
        var (width, height) = (Int32(0), Int32(0))
        let isRead = bytes.withUnsafeBufferPointer {
            WebPGetInfo($0.baseAddress, $0.count, &width, &height)
        }
        guard isRead != 0, width > 0, height > 0 else {
            throw .damaged(.webp, expected: "a header with a size", found: "none")
        }
        return (Int(width), Int(height))
    }

    static func decode(_ bytes: [UInt8], _ header: ImageHeader) throws(ImageError) -> PixelImage {
        let frame = try firstFrame(of: bytes, header)
        let (frameWidth, frameHeight) = try size(of: bytes[frame.data])
        guard frameWidth == frame.width, frameHeight == frame.height else {
            throw .damaged(
                .webp, expected: "\(frame.width) x \(frame.height) pixels",
                found: "\(frameWidth) x \(frameHeight)")
        }
        let stride = 3 * header.width
        var pixels = [UInt8](repeating: 0, count: stride * header.height)
        let start = frame.y * stride + 3 * frame.x
        // The decoder writes rows of the frame's width at the canvas's stride.
        let isRead = pixels.withUnsafeMutableBufferPointer { pixels in
            bytes[frame.data].withUnsafeBufferPointer { data in
                WebPDecodeRGBInto(
                    data.baseAddress, data.count, pixels.baseAddress.map { $0 + start }, pixels.count - start,
                    Int32(stride)) != nil
            }
        }
        guard isRead else {
            throw .damaged(
                .webp, expected: "\(frame.height) rows of pixels", found: "damaged or missing data")
        }
        return PixelImage(width: header.width, height: header.height, pixels: pixels)
    }

    /// The whole file, or the first frame of an animation; what a frame leaves of the canvas stays black.
    private static func firstFrame(of bytes: [UInt8], _ header: ImageHeader) throws(ImageError) -> Frame {
        let whole = Frame(data: 0..<bytes.count, width: header.width, height: header.height)
        guard bytes.holds("VP8X", at: 12), let flags = bytes.byte(at: 20), flags & 2 != 0 else {
            return whole
        }
        for chunk in Chunks(bytes: bytes, at: 12, end: bytes.count)
        where bytes.holds("ANMF", at: chunk.lowerBound - 8) {
            guard chunk.count >= 16, let x = bytes.littleEndian24(at: chunk.lowerBound),
                let y = bytes.littleEndian24(at: chunk.lowerBound + 3),
                let width = bytes.littleEndian24(at: chunk.lowerBound + 6),
                let height = bytes.littleEndian24(at: chunk.lowerBound + 9)
            else { throw .truncated(.webp, expected: "a frame with a header of 16 bytes") }
            let frame = Frame(
                data: chunk.lowerBound + 16..<chunk.upperBound, x: 2 * x, y: 2 * y, width: width + 1,
                height: height + 1)
            guard frame.x + frame.width <= header.width, frame.y + frame.height <= header.height else {
                throw .damaged(
                    .webp, expected: "frames inside \(header.width) x \(header.height) pixels",
                    found: "\(frame.width) x \(frame.height) at \(frame.x), \(frame.y)")
            }
            return frame
        }
        throw .truncated(.webp, expected: "a frame")
    }

    /// Where the chunks' contents are, as far as the file goes. Each follows 8 bytes of name and length.
    private struct Chunks: Sequence, IteratorProtocol {
        let bytes: [UInt8]
        var at: Int
        let end: Int

        mutating func next() -> Range<Int>? {
            guard let length = bytes.littleEndian32(at: at + 4), at + 8 <= end else { return nil }
            let start = at + 8
            at = start + length + length % 2
            return start..<Swift.min(start + length, end)
        }
    }
}
