/// The formats that are read.
public enum ImageFormat: String, Sendable, CaseIterable {
    case jpeg = "JPEG"
    case png = "PNG"
    case webp = "WebP"
}

/// What an image may take.
public struct ImageLimits: Sendable {
    /// The file's length in bytes.
    public var bytes = 64 << 20
    /// Width times height. Decoding takes at most about 12 bytes for each.
    public var pixels = 64 << 20

    public init() {}
}

/// Why bytes were not read as an image. Texts are made of names and numbers, and never of what the bytes hold.
public enum ImageError: Error, Equatable, Sendable {
    case empty
    case tooManyBytes(limit: Int, found: Int)
    case tooManyPixels(limit: Int, width: Int, height: Int)
    /// A format that is not read: its name, where it is known.
    case unknownFormat(found: String)
    /// The file ends before what the format needs.
    case truncated(ImageFormat, expected: String)
    /// The file breaks the format's rules.
    case damaged(ImageFormat, expected: String, found: String)
    /// A part of the format that is not read.
    case unsupported(ImageFormat, expected: String, found: String)
}

extension ImageError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .empty:
            "the image is empty: expected \(Self.formats), found 0 bytes"
        case .tooManyBytes(let limit, let found):
            "the image is too large: expected at most \(limit) bytes, found \(found)"
        case .tooManyPixels(let limit, let width, let height):
            "the image is too large: expected at most \(limit) pixels, found \(width) x \(height)"
        case .unknownFormat(let found):
            "the image has a format that is not read: expected \(Self.formats), found \(found)"
        case .truncated(let format, let expected):
            "the \(format.rawValue) image is truncated: expected \(expected), found the end of the file"
        case .damaged(let format, let expected, let found):
            "the \(format.rawValue) image is damaged: expected \(expected), found \(found)"
        case .unsupported(let format, let expected, let found):
            "the \(format.rawValue) image is of a kind that is not read: expected \(expected), found \(found)"
        }
    }

    private static let formats = "JPEG, PNG or WebP"
}
