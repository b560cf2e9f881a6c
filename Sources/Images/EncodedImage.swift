/// The bytes of an image file, of which the header has been read and found to be within limits.
public struct EncodedImage: Sendable {
    public let bytes: [UInt8]
    public let format: ImageFormat
    /// Pixels across, after the turn that the file asks for.
    public let width: Int
    /// Pixels from top to bottom, after the turn that the file asks for.
    public let height: Int
    private let header: ImageHeader

    /// Reads the header only; nothing is decoded, and nothing is allocated that the file could make large.
    public init(_ bytes: [UInt8], limits: ImageLimits = .init()) throws(ImageError) {
        if bytes.isEmpty { throw .empty }
        if bytes.count > limits.bytes { throw .tooManyBytes(limit: limits.bytes, found: bytes.count) }
        format = try ImageFormat(sniffing: bytes)
        header =
            switch format {
            case .jpeg: try JPEGFile.header(of: bytes)
            case .png: try PNGFile.header(of: bytes)
            case .webp: try WebPFile.header(of: bytes)
            }
        // No format's sides exceed 31 bits, so that the product fits.
        let limit = min(limits.pixels, 1 << 32)
        if header.width * header.height > limit {
            throw .tooManyPixels(limit: limit, width: header.width, height: header.height)
        }
        let swaps = header.orientation.swapsSides
        width = swaps ? header.height : header.width
        height = swaps ? header.width : header.height
        self.bytes = bytes
    }

    /// The image as Pillow's `convert("RGB")` gives it after `exif_transpose`: transparency is dropped, not blended;
    /// colour profiles are ignored; an animation gives its first frame.
    public func decoded() throws(ImageError) -> PixelImage {
        let image =
            switch format {
            case .jpeg: try JPEGFile.decode(bytes, header)
            case .png: try PNGFile.decode(bytes, header)
            case .webp: try WebPFile.decode(bytes, header)
            }
        return header.orientation.applied(to: image)
    }
}

/// What a file says about itself before its pixels; sides as they are stored.
struct ImageHeader {
    var width: Int
    var height: Int
    var orientation: Orientation
    /// JPEG's number of colours; 3 otherwise.
    var components = 3
}
