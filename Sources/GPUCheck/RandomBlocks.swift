public import Tensors

extension HostWeight {
    /// Blocks of any bits whose scales are such that numbers are about as large as `scale`.
    public static func random(
        _ encoding: Encoding, outputs: Int, inputs: Int, scale: Float, seed: Int
    ) -> HostWeight {
        // Where the float16 numbers of a block lie, and the largest number when they are 1.
        let (places, largest): ([Int], Float) =
            switch encoding {
            case .q4_0: ([0], 8)
            case .q4_1: ([0, 2], 15)
            case .q5_0: ([0], 16)
            case .q5_1: ([0, 2], 31)
            case .q8_0: ([0], 128)
            case .q2_K: ([80, 82], 3 * 15)
            case .q3_K: ([108], 4 * 32)
            case .q4_K: ([0, 2], 15 * 63)
            case .q5_K: ([0, 2], 31 * 63)
            case .q6_K: ([208], 32 * 128)
            case .float32, .float16, .bfloat16: preconditionFailure("\(encoding) has no blocks")
            }
        let rowBytes = encoding.rowBytes(inputs) ?? 0, count = outputs * rowBytes
        var generator = Noise(seed)
        let bytes = HostBytes(count: count) { bytes in
            for index in bytes.indices {
                bytes[index] = UInt8(truncatingIfNeeded: Int(generator.next() * 1_000_000))
            }
            for block in stride(from: 0, to: count, by: encoding.blockBytes) {
                for (index, place) in places.enumerated() {
                    let sign: Float = generator.next() < 0 ? -1 : 1
                    let size = (1 + abs(generator.next())) * scale / (index == 0 ? largest : 2)
                    // A minimum is taken away in formats with levels, which have up to 63 of it.
                    let levels: Float = index == 1 && encoding.blockElements == 256 ? 32 : 1
                    let bits = Float16(sign * size / levels).bitPattern
                    bytes.storeBytes(of: bits.littleEndian, toByteOffset: block + place, as: UInt16.self)
                }
            }
        }
        return HostWeight(outputs: outputs, inputs: inputs, encoding: encoding, bytes: bytes)
    }
}
