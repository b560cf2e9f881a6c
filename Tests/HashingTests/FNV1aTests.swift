import Hashing
import Testing

@Suite struct FNV1aTests {
    /// Values of the authors' test vectors.
    @Test(
        arguments: [
            ("", 0xCBF2_9CE4_8422_2325), ("a", 0xAF63_DC4C_8601_EC8C), ("b", 0xAF63_DF4C_8601_F1A5),
            ("foobar", 0x8594_4171_F739_67E8),
        ] as [(String, UInt64)])
    func knownAnswers(_ text: String, _ hash: UInt64) {
        #expect(fnv1a(text.utf8) == hash)
    }

    @Test func bytesAreHashedInOrderAndFromAnyBeginning() {
        #expect(fnv1a([1, 2]) != fnv1a([2, 1]))
        let basis: UInt64 = 0xCBF2_9CE4_8422_2325
        #expect(fnv1a([255]) == (basis ^ 255) &* 0x100_0000_01B3)
        #expect(fnv1a([], basis: 7) == 7)
        #expect(fnv1a("bar".utf8, basis: fnv1a("foo".utf8)) == fnv1a("foobar".utf8))
    }
}
