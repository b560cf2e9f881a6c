import Images
import Testing

/// Thousands of damaged files: each is an error or an image of the size that its header told, and nothing traps.
@Suite struct MutationTests {
    private struct Random {
        var state: UInt64

        mutating func below(_ bound: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % max(bound, 1)
        }
    }

    @Test(arguments: [".jpg", ".png", ".webp"])
    func damagedFilesAreErrorsOrImages(_ suffix: String) throws {
        var random = Random(state: 34)
        let files = try Fixtures.names.filter { $0.hasSuffix(suffix) }.map(Fixtures.bytes)
        var limits = ImageLimits()
        limits.pixels = 1 << 16
        var (images, errors) = (0, Set<String>())
        for _ in 0..<2000 {
            var bytes = files[random.below(files.count)]
            for _ in 0...random.below(3) { mutate(&bytes, &random) }
            if suffix == ".png", random.below(4) > 0 { bytes = withChecksums(bytes) }
            do throws(ImageError) {
                let image = try EncodedImage(bytes, limits: limits)
                let decoded = try image.decoded()
                images += 1
                #expect(decoded.width == image.width && decoded.height == image.height)
                #expect(decoded.width * decoded.height <= limits.pixels)
            } catch {
                errors.insert("\(error)")
            }
        }
        #expect(images > 40, "\(images)")
        #expect(errors.count > 10)
        for error in errors { #expect(isPlain(error), "\(error)") }
    }

    private func mutate(_ bytes: inout [UInt8], _ random: inout Random) {
        // Headers are where most can go wrong.
        let reach = random.below(2) == 0 ? min(bytes.count, 64) : bytes.count
        let at = random.below(reach)
        guard at < bytes.count else { return }
        switch random.below(7) {
        case 0: bytes[at] ^= 1 << UInt8(random.below(8))
        case 1: bytes[at] = 0xFF
        case 2: bytes[at] = 0
        case 3: bytes[at] = UInt8(random.below(256))
        case 4: bytes.removeSubrange(at..<min(at + 1 + random.below(8), bytes.count))
        case 5:
            bytes.insert(contentsOf: bytes[random.below(bytes.count)...].prefix(1 + random.below(40)), at: at)
        default: bytes.removeSubrange((at + bytes.count) / 2..<bytes.count)
        }
    }

    /// The same chunks, each with a checksum that is right; damage then gets past the first check.
    private func withChecksums(_ bytes: [UInt8]) -> [UInt8] {
        var result = Array(bytes.prefix(8))
        var at = 8
        while at + 8 <= bytes.count {
            let length = bytes[at..<at + 4].reduce(0) { $0 << 8 | Int($1) }
            let end = min(at + 8 + length, bytes.count)
            result += bytes[at..<end]
            if end == at + 8 + length { result += bigEndian32(crc32(bytes[at + 4..<end])) }
            at = end + 4
        }
        return result
    }

    /// Words, numbers and a few signs: no address, no path, no bytes, no name of a type.
    private func isPlain(_ text: String) -> Bool {
        let signs = Set<Character>(" ,.:")
        return text.hasPrefix("the ") && text.count < 160 && !text.contains("0x")
            && text.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || signs.contains($0)) }
    }

    @Test func noErrorTellsWhatTheBytesHold() {
        let secret = Array("/etc/passwd <Image.Image object at 0x7f00beef>".utf8)
        let files = [
            [], secret, Array("GIF89a".utf8) + secret, pngSignature + secret,
            [0xFF, 0xD8, 0xFF, 0xE0] + secret,
            [0xFF, 0xD8, 0xFF] + secret, Array("RIFF".utf8) + secret, Array("RIFF1234WEBP".utf8) + secret,
            Array("\0\0\0\u{18}ftyp".utf8) + secret, pngHeader(4, 4) + pngChunk("/etc", secret) + secret,
            jpegHeader(4, 4) + secret, jpegHeader(4, 4) + secret + [0xFF, 0xD9],
            webp(webpCanvas(9, 9) + webpChunk("/etc", secret)),
        ]
        for file in files {
            let error = EncodedImage.failure(file)
            #expect(
                error.map { isPlain("\($0)") } == true,
                "\(file.prefix(8)), \(error.map { "\($0)" } ?? "none")")
        }
    }
}
