import Images
import Testing

@Suite struct DecodingTests {
    /// Every kind of file, byte for byte: depths, palettes, keys, alpha, interlacing, samplings, progressive scans,
    /// inks, turns, animations.
    @Test(arguments: Fixtures.names)
    func equalsPillow(_ name: String) throws {
        let expected = try Fixtures.expected(name)
        let image = try EncodedImage(Fixtures.bytes(name))
        #expect(image.width == expected.width && image.height == expected.height)
        let decoded = try image.decoded()
        #expect(decoded.distance(to: expected) == 0)
    }

    @Test func allFixturesAreThere() {
        #expect(Fixtures.names.count > 90)
    }

    @Test func theHeaderTellsTheFormat() throws {
        #expect(try EncodedImage(Fixtures.bytes("grey.jpg")).format == .jpeg)
        #expect(try EncodedImage(Fixtures.bytes("grey1.png")).format == .png)
        #expect(try EncodedImage(Fixtures.bytes("lossy.webp")).format == .webp)
    }
}
