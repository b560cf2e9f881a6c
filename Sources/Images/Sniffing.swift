extension ImageFormat {
    /// The format that a file's first bytes name.
    init(sniffing bytes: [UInt8]) throws(ImageError) {
        if bytes.starts(with: [0xFF, 0xD8, 0xFF]) {
            self = .jpeg
        } else if bytes.starts(with: [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]) {
            self = .png
        } else if bytes.holds("RIFF", at: 0) && bytes.holds("WEBP", at: 8) {
            self = .webp
        } else {
            throw .unknownFormat(found: Self.foreignName(of: bytes))
        }
    }

    /// What files of other formats are called, so that a user knows what to convert.
    private static func foreignName(of bytes: [UInt8]) -> String {
        if bytes.holds("ftyp", at: 4) { return brandName(of: bytes) }
        let names: [(magic: [UInt8], name: String)] = [
            (Array("GIF8".utf8), "GIF"), (Array("BM".utf8), "BMP"),
            ([0x49, 0x49, 0x2A, 0], "TIFF"), ([0x4D, 0x4D, 0, 0x2A], "TIFF"),
            ([0x49, 0x49, 0x2B, 0], "TIFF"), ([0x4D, 0x4D, 0, 0x2B], "TIFF"),
            (Array("%PDF".utf8), "PDF"), ([0, 0, 1, 0], "ICO"), (Array("8BPS".utf8), "PSD"),
            ([0, 0, 0, 0x0C, 0x6A, 0x50], "JPEG 2000"), ([0xFF, 0x4F, 0xFF, 0x51], "JPEG 2000"),
            ([0, 0, 0, 0x0C, 0x4A, 0x58, 0x4C], "JPEG XL"), ([0xFF, 0x0A], "JPEG XL"),
            ([0x1A, 0x45, 0xDF, 0xA3], "video"), ([0, 0, 1, 0xBA], "video"), ([0, 0, 1, 0xB3], "video"),
            (Array("OggS".utf8), "video"), (Array("FLV".utf8), "video"),
        ]
        if let known = names.first(where: { bytes.starts(with: $0.magic) }) { return known.name }
        if bytes.holds("RIFF", at: 0) && bytes.holds("AVI ", at: 8) { return "video" }
        return isMarkup(bytes) ? "SVG or other text" : "none that is known"
    }

    /// The name of a file of the ISO base media format, after its main brand.
    private static func brandName(of bytes: [UInt8]) -> String {
        let brand = String(decoding: bytes.clamped(8, 4), as: UTF8.self)
        return switch brand {
        case "heic", "heix", "heim", "heis", "hevc", "hevx", "mif1", "msf1": "HEIC"
        case "avif", "avis": "AVIF"
        default: "video"
        }
    }

    private static func isMarkup(_ bytes: [UInt8]) -> Bool {
        let text = bytes.prefix(64).drop { $0 <= 0x20 || [0xEF, 0xBB, 0xBF].contains($0) }
        return text.first == UInt8(ascii: "<")
    }
}
