import Foundation
import Images
import JSON
import OrderedCollections
import Testing

/// The images of `Tests/Fixtures/images` and what Pillow makes of them; its `make.py` made both.
enum Fixtures {
    static let directory = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().appendingPathComponent("Fixtures/images")

    static func bytes(_ name: String) throws -> [UInt8] {
        [UInt8](try Data(contentsOf: directory.appendingPathComponent(name)))
    }

    static func json(_ name: String) throws -> JSONValue {
        try JSONValue(parsing: try bytes(name))
    }

    static let names: [String] = {
        guard case .object(let members)? = try? json("images.json") else { return [] }
        return members.map(\.key.string)
    }()

    static func expected(_ name: String) throws -> PixelImage {
        let list = try json("images.json")
        let place = try #require(list[name]?.ints)
        let (width, height, start) = (place[0], place[1], place[2])
        let pixels = try bytes("pixels.rgb")[start..<start + 3 * width * height]
        return PixelImage(width: width, height: height, pixels: Array(pixels))
    }
}

extension PixelImage {
    /// Noise that `make.py` makes as well: the upper bytes of a linear congruential sequence.
    static func pattern(width: Int, height: Int) -> PixelImage {
        var state: UInt32 = 1
        let pixels = (0..<3 * width * height).map { _ in
            state = state &* 1_664_525 &+ 1_013_904_223
            return UInt8(state >> 24)
        }
        return PixelImage(width: width, height: height, pixels: pixels)
    }

    func pixel(_ x: Int, _ y: Int) -> [UInt8] {
        Array(pixels[3 * (y * width + x)..<3 * (y * width + x) + 3])
    }

    /// The largest difference of a byte; nil if the sizes differ.
    func distance(to other: PixelImage) -> Int? {
        guard width == other.width, height == other.height else { return nil }
        return zip(pixels, other.pixels).map { abs(Int($0) - Int($1)) }.max()
    }
}

func crc32(_ bytes: some Sequence<UInt8>) -> Int {
    var sum: UInt32 = 0xFFFF_FFFF
    for byte in bytes {
        sum ^= UInt32(byte)
        for _ in 0..<8 { sum = sum >> 1 ^ (sum & 1 == 1 ? 0xEDB8_8320 : 0) }
    }
    return Int(~sum)
}

func bigEndian32(_ value: Int) -> [UInt8] {
    [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> $0) }
}

/// A chunk of a PNG.
func pngChunk(_ name: String, _ data: [UInt8]) -> [UInt8] {
    let body = Array(name.utf8) + data
    return bigEndian32(data.count) + body + bigEndian32(crc32(body))
}

let pngSignature: [UInt8] = [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]

func pngHeader(_ width: Int, _ height: Int, bits: UInt8 = 8, color: UInt8 = 2) -> [UInt8] {
    pngSignature + pngChunk("IHDR", bigEndian32(width) + bigEndian32(height) + [bits, color, 0, 0, 0])
}

extension JSONValue {
    var ints: [Int]? { array.map { $0.compactMap(\.int) } }
}

/// A zlib stream that holds the bytes as they are.
func zlibStored(_ bytes: [UInt8]) -> [UInt8] {
    var result: [UInt8] = [0x78, 0x01]
    for start in stride(from: 0, to: max(bytes.count, 1), by: 65535) {
        let part = bytes[start..<min(start + 65535, bytes.count)]
        let isLast: UInt8 = start + 65535 >= bytes.count ? 1 : 0
        let (low, high) = (UInt8(part.count & 0xFF), UInt8(part.count >> 8))
        result += [isLast, low, high, ~low, ~high] + part
    }
    var (a, b) = (1, 0)
    for byte in bytes {
        a = (a + Int(byte)) % 65521
        b = (b + a) % 65521
    }
    return result + bigEndian32(b << 16 | a)
}

/// A PNG of one colour.
func plainPNG(_ width: Int, _ height: Int, color: [UInt8]) -> [UInt8] {
    var rows: [UInt8] = []
    for _ in 0..<height {
        rows.append(0)
        for _ in 0..<width { rows += color }
    }
    return pngHeader(width, height) + pngChunk("IDAT", zlibStored(rows)) + pngChunk("IEND", [])
}

/// A segment of a JPEG.
func jpegSegment(_ marker: UInt8, _ content: [UInt8]) -> [UInt8] {
    [0xFF, marker, UInt8((content.count + 2) >> 8), UInt8((content.count + 2) & 0xFF)] + content
}

/// The first segments of a JPEG, up to where its first scan's data begins.
func jpegHeader(_ width: Int, _ height: Int, marker: UInt8 = 0xC0, bits: UInt8 = 8, colors: UInt8 = 3)
    -> [UInt8]
{
    var frame: [UInt8] = [bits]
    frame += bigEndian32(height).suffix(2)
    frame += bigEndian32(width).suffix(2)
    frame.append(colors)
    var scan: [UInt8] = [colors]
    for color in 0..<colors {
        frame += [color + 1, 0x11, 0]
        scan += [color + 1, 0]
    }
    scan += [0, 63, 0]
    let start: [UInt8] = [0xFF, 0xD8]
    return start + jpegSegment(marker, frame) + jpegSegment(0xDA, scan)
}

func littleEndian32(_ value: Int) -> [UInt8] { bigEndian32(value).reversed() }

/// A chunk of a WebP.
func webpChunk(_ name: String, _ data: [UInt8]) -> [UInt8] {
    Array(name.utf8) + littleEndian32(data.count) + data + (data.count % 2 == 1 ? [0] : [])
}

func webp(_ chunks: [UInt8]) -> [UInt8] {
    Array("RIFF".utf8) + littleEndian32(chunks.count + 4) + Array("WEBP".utf8) + chunks
}

/// WebP's header of a canvas.
func webpCanvas(_ width: Int, _ height: Int, flags: UInt8 = 0) -> [UInt8] {
    webpChunk(
        "VP8X", [flags, 0, 0, 0] + littleEndian32(width - 1).prefix(3) + littleEndian32(height - 1).prefix(3))
}

extension EncodedImage {
    /// The error of reading and decoding; nil if there is none.
    static func failure(_ bytes: [UInt8], limits: ImageLimits = .init()) -> ImageError? {
        do throws(ImageError) {
            _ = try EncodedImage(bytes, limits: limits).decoded()
            return nil
        } catch {
            return error
        }
    }
}
