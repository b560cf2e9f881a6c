/// Bytes as letters, digits, `+` and `/` (RFC 4648, section 4).
///
/// White space is skipped, padding may be absent, and `-` and `_` stand for `+` and `/` (section 5), as clients send it.
enum Base64 {
    private static let space: UInt8 = 64
    private static let padding: UInt8 = 65
    private static let stray: UInt8 = 66

    /// What each byte stands for: its six bits, or one of the above.
    private static let values: [UInt8] = {
        var values = [UInt8](repeating: stray, count: 256)
        let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
        for (value, byte) in alphabet.utf8.enumerated() { values[Int(byte)] = UInt8(value) }
        (values[Int(UInt8(ascii: "-"))], values[Int(UInt8(ascii: "_"))]) = (62, 63)
        for byte in " \t\r\n".utf8 { values[Int(byte)] = space }
        values[Int(UInt8(ascii: "="))] = padding
        return values
    }()

    /// How many bytes a text stands for; nil if it stands for none.
    static func size(of text: some Sequence<UInt8>) -> Int? {
        var (digits, paddings) = (0, 0)
        for byte in text {
            switch values[Int(byte)] {
            case space: continue
            case padding: paddings += 1
            case stray: return nil
            default:
                guard paddings == 0 else { return nil }
                digits += 1
            }
        }
        let rest = digits & 3
        guard rest != 1, paddings == 0 || (rest > 0 && paddings == 4 - rest) else { return nil }
        return digits / 4 * 3 + max(rest - 1, 0)
    }

    /// The bytes that a text stands for. `size` is theirs, as `size(of:)` tells.
    static func bytes(of text: some Sequence<UInt8>, size: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(size)
        var (bits, count): (UInt32, Int) = (0, 0)
        for byte in text {
            let value = values[Int(byte)]
            guard value < space else { continue }
            (bits, count) = (bits << 6 | UInt32(value), count + 1)
            guard count == 4 else { continue }
            for shift: UInt32 in [16, 8, 0] { bytes.append(UInt8(truncatingIfNeeded: bits >> shift)) }
            (bits, count) = (0, 0)
        }
        // Two digits hold one byte and four bits more, three two bytes and two bits more.
        if count == 2 { bytes.append(UInt8(truncatingIfNeeded: bits >> 4)) }
        if count == 3 {
            for shift: UInt32 in [10, 2] { bytes.append(UInt8(truncatingIfNeeded: bits >> shift)) }
        }
        return bytes
    }
}
