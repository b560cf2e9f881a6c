import CKernels
import Foundation
import Testing

@Suite struct DequantizeTests {
    private static let fixtures = URL(filePath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().appending(path: "Fixtures/quantized")

    private static let allHalves = (0...UInt16.max).flatMap {
        [UInt8(truncatingIfNeeded: $0), UInt8($0 >> 8)]
    }

    @Test(arguments: Format.blocked, KernelSet.available)
    func equalsTheReferenceDecoder(_ format: Format, _ set: KernelSet) throws {
        let name = format.rawValue.uppercased()
        let blocks = try Data(contentsOf: Self.fixtures.appending(path: "\(name).blocks"))
        let expected = try Data(contentsOf: Self.fixtures.appending(path: "\(name).f32"))
            .withUnsafeBytes { bytes in
                stride(from: 0, to: bytes.count, by: 4).map { offset in
                    let bits = bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self)
                    return Float(bitPattern: UInt32(littleEndian: bits))
                }
            }
        try #require(expected.count == 1024)
        #expect(dequantized(format, Array(blocks), set.kernels) == expected)
    }

    @Test(arguments: KernelSet.available)
    func everyFloat16(_ set: KernelSet) {
        let values = dequantized(.f16, Self.allHalves, set.kernels)
        #expect(values.bits == (0...UInt16.max).map { Float(Float16(bitPattern: $0)) }.bits)
    }

    @Test(arguments: KernelSet.available)
    func everyBFloat16(_ set: KernelSet) {
        let values = dequantized(.bf16, Self.allHalves, set.kernels)
        #expect(values.bits == (0...UInt16.max).map { Float(bitPattern: UInt32($0) << 16) }.bits)
    }
}
