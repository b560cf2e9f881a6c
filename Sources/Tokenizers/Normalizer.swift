import Foundation

/// Rewrites text before it is cut into pieces.
indirect enum Normalizer: Sendable {
    case sequence([Normalizer])
    /// Puts `text` before a text that is not empty.
    case prepend([UInt8])
    case replace([UInt8], by: [UInt8])
    case replacePattern(Pattern, by: [UInt8])
    case strip(left: Bool, right: Bool)
    /// Strips spaces, and makes one of several (SentencePiece's `remove_extra_whitespaces`).
    case removeExtraSpaces
    case lowercase, stripAccents, nmt
    case bert(cleans: Bool, separatesChinese: Bool)
    case nfc, nfd, nfkc, nfkd
    case precompiled(CharacterMap, CharacterMap.Reading)
    /// Writes bytes in the alphabet of byte-level vocabularies.
    case byteAlphabet

    func apply(_ text: [UInt8]) throws(TokenizerError) -> [UInt8] {
        switch self {
        case .sequence(let steps):
            var text = text
            for step in steps { text = try step.apply(text) }
            return text
        case .prepend(let prefix): return text.isEmpty ? text : prefix + text
        case .replace(let old, let new): return replaceBytes(text, old, new)
        case .replacePattern(let pattern, let new): return try replaceMatches(text, pattern, new)
        case .strip(let left, let right): return strip(text, left: left, right: right)
        case .removeExtraSpaces: return removeExtraSpaces(text)
        case .lowercase: return scalarwise(text) { $0.properties.lowercaseMapping.unicodeScalars }
        case .stripAccents: return filtered(text) { $0.properties.generalCategory != .nonspacingMark }
        case .nmt: return nmt(text)
        case .bert(let cleans, let separates): return bert(text, cleans, separates)
        case .nfc: return normalForm(text) { $0.precomposedStringWithCanonicalMapping }
        case .nfd: return normalForm(text) { $0.decomposedStringWithCanonicalMapping }
        case .nfkc: return normalForm(text) { $0.precomposedStringWithCompatibilityMapping }
        case .nfkd: return normalForm(text) { $0.decomposedStringWithCompatibilityMapping }
        case .precompiled(let map, let reading): return map.apply(text, reading)
        case .byteAlphabet: return text.flatMap { ByteAlphabet.utf8[Int($0)] }
        }
    }

    private func normalForm(_ text: [UInt8], _ form: (String) -> String) -> [UInt8] {
        // Every normal form of ASCII is itself.
        if text.allSatisfy({ $0 < 0x80 }) { return text }
        return Array(form(String(decoding: text, as: UTF8.self)).utf8)
    }

    private func scalarwise<S: Sequence<Unicode.Scalar>>(_ text: [UInt8], _ body: (Unicode.Scalar) -> S)
        -> [UInt8]
    {
        var result = String.UnicodeScalarView()
        for scalar in String(decoding: text, as: UTF8.self).unicodeScalars { result += body(scalar) }
        return Array(String(result).utf8)
    }

    private func filtered(_ text: [UInt8], _ keeps: (Unicode.Scalar) -> Bool) -> [UInt8] {
        scalarwise(text) { keeps($0) ? [$0] : [] }
    }

    /// Works on bytes: characters that combine must not hide a match.
    private func replaceBytes(_ source: [UInt8], _ old: [UInt8], _ new: [UInt8]) -> [UInt8] {
        guard let first = old.first else { return source }
        var result: [UInt8] = []
        result.reserveCapacity(source.count + source.count / 2)
        var start = 0
        var index = 0
        while index < source.count {
            guard source[index] == first, old.count == 1 || source[index...].starts(with: old) else {
                index += 1
                continue
            }
            result += source[start..<index]
            result += new
            index += old.count
            start = index
        }
        return result + source[start...]
    }

    private func replaceMatches(_ source: [UInt8], _ pattern: Pattern, _ new: [UInt8]) throws(TokenizerError)
        -> [UInt8]
    {
        var (result, end): ([UInt8], Int) = ([], 0)
        for match in try pattern.matches(in: source) {
            result += source[end..<match.lowerBound]
            result += new
            end = match.upperBound
        }
        return result + source[end...]
    }

    private func strip(_ text: [UInt8], left: Bool, right: Bool) -> [UInt8] {
        var scalars = String(decoding: text, as: UTF8.self).unicodeScalars[...]
        if left { scalars = scalars.drop { $0.properties.isWhitespace } }
        while right, let last = scalars.last, last.properties.isWhitespace { scalars.removeLast() }
        return Array(String(scalars).utf8)
    }

    private func removeExtraSpaces(_ text: [UInt8]) -> [UInt8] {
        let space = UInt8(ascii: " ")
        var result: [UInt8] = []
        result.reserveCapacity(text.count)
        for byte in text where byte != space || (result.last ?? space) != space { result.append(byte) }
        if result.last == space { result.removeLast() }
        return result
    }

    /// The few controls and spaces that machine translation's SentencePiece drops or makes spaces.
    private func nmt(_ text: [UInt8]) -> [UInt8] {
        scalarwise(text) { scalar -> [Unicode.Scalar] in
            switch scalar.value {
            case 0x01...0x08, 0x0B, 0x0E...0x1F, 0x7F, 0x8F, 0x9F: []
            case 0x09, 0x0A, 0x0C, 0x0D, 0x1680, 0x200B...0x200F, 0x2028, 0x2029, 0x2581, 0xFEFF, 0xFFFD:
                [" "]
            default: [scalar]
            }
        }
    }

    private func bert(_ text: [UInt8], _ cleans: Bool, _ separatesChinese: Bool) -> [UInt8] {
        scalarwise(text) { scalar -> [Unicode.Scalar] in
            let isPlainSpace = scalar == "\t" || scalar == "\n" || scalar == "\r"
            if cleans {
                let classes = CharacterClass(scalar)
                if scalar.value == 0 || scalar.value == 0xFFFD { return [] }
                if classes.contains(.control), !isPlainSpace { return [] }
                if isPlainSpace || classes.contains(.space) { return [" "] }
            }
            return separatesChinese && Self.isChinese(scalar.value) ? [" ", scalar, " "] : [scalar]
        }
    }

    private static func isChinese(_ value: UInt32) -> Bool {
        switch value {
        case 0x4E00...0x9FFF, 0x3400...0x4DBF, 0x20000...0x2A6DF, 0x2A700...0x2B73F, 0x2B740...0x2B81F,
            0x2B920...0x2CEAF, 0xF900...0xFAFF, 0x2F800...0x2FA1F:
            true
        default: false
        }
    }
}
