/// SentencePiece's `precompiled_charsmap`: a double-array trie over UTF-8 that leads to replacements.
///
/// The file's form: the trie's size in bytes as 32-bit number, the trie's 32-bit units (those of Darts-clone),
/// and the replacements, each ended by a zero byte. Little-endian.
struct CharacterMap: Sendable {
    /// Which of the entries that fit counts.
    enum Reading: Sendable {
        /// The longest, at every place: SentencePiece's own.
        case longest
        /// That of a grapheme cluster of up to 5 bytes as a whole, or else of each character; the shortest of
        /// those that fit. What tokenizer.json's `Precompiled` means.
        case clusters
    }

    private let units: [UInt32]
    private let replacements: [UInt8]

    init(_ bytes: [UInt8]) throws(TokenizerError) {
        let size = bytes.count >= 4 ? Int(Self.unit(bytes, 0)) : 0
        guard bytes.count >= 4, size % 4 == 0, size > 0, size <= bytes.count - 4 else {
            throw .malformed(
                "precompiled_charsmap: expected a trie within \(bytes.count) bytes, found one of \(size)")
        }
        units = stride(from: 4, to: 4 + size, by: 4).map { Self.unit(bytes, $0) }
        replacements = Array(bytes[(4 + size)...])
    }

    private static func unit(_ bytes: [UInt8], _ at: Int) -> UInt32 {
        UInt32(bytes[at]) | UInt32(bytes[at + 1]) << 8 | UInt32(bytes[at + 2]) << 16 | UInt32(bytes[at + 3])
            << 24
    }

    /// The entries that `text` begins with at `start`, shortest first: their length and where their
    /// replacement begins.
    private func prefixes(_ text: ArraySlice<UInt8>) -> [(length: Int, replacement: Int)] {
        var found: [(Int, Int)] = []
        var node = offset(units[0])
        // No mapping is about that many bytes; without a limit a malformed trie could go round in circles.
        for (length, byte) in text.prefix(64).enumerated() {
            node ^= Int(byte)
            guard node < units.count else { break }
            let unit = units[node]
            // A unit's label: its low byte, and the bit that only leaves have.
            guard unit & (1 << 31 | 0xFF) == UInt32(byte) else { break }
            node ^= offset(unit)
            guard node < units.count else { break }
            if unit >> 8 & 1 == 1 { found.append((length + 1, Int(units[node] & 0x7FFF_FFFF))) }
        }
        return found
    }

    private func offset(_ unit: UInt32) -> Int { Int((unit >> 10) << ((unit >> 6) & 8)) }

    private func replacement(_ start: Int) -> ArraySlice<UInt8> {
        guard start < replacements.count else { return [] }
        return replacements[start...].prefix { $0 != 0 }
    }

    func apply(_ text: [UInt8], _ reading: Reading) -> [UInt8] {
        switch reading {
        case .longest: applyLongest(text)
        case .clusters: applyToClusters(text)
        }
    }

    private func applyLongest(_ text: [UInt8]) -> [UInt8] {
        var (result, index): ([UInt8], Int) = ([], 0)
        result.reserveCapacity(text.count)
        while index < text.count {
            if let best = prefixes(text[index...]).last {
                result += replacement(best.replacement)
                index += best.length
            } else {
                let width = min(utf8Width(text[index]), text.count - index)
                result += text[index..<index + width]
                index += width
            }
        }
        return result
    }

    private func applyToClusters(_ text: [UInt8]) -> [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(text.count)
        for cluster in String(decoding: text, as: UTF8.self) {
            let bytes = Array(cluster.utf8)
            if bytes.count < 6, let first = prefixes(bytes[...]).first {
                result += replacement(first.replacement)
                continue
            }
            for scalar in cluster.unicodeScalars {
                let bytes = Array(String(scalar).utf8)
                if let first = prefixes(bytes[...]).first {
                    result += replacement(first.replacement)
                } else {
                    result += bytes
                }
            }
        }
        return result
    }
}
