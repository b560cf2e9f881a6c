import Foundation

/// Rewrites text before it is cut into pieces.
indirect enum Normalizer: Sendable {
    case sequence([Normalizer])
    /// Puts `text` before a text that is not empty.
    case prepend(String)
    case replace(String, by: String)
    case replacePattern(Pattern, by: String)
    case strip(left: Bool, right: Bool)
    case lowercase
    case nfc, nfd, nfkc, nfkd

    func apply(_ text: String) throws(TokenizerError) -> String {
        switch self {
        case .sequence(let steps):
            var text = text
            for step in steps { text = try step.apply(text) }
            return text
        case .prepend(let prefix): return text.isEmpty ? text : prefix + text
        case .replace(let old, let new): return replaceBytes(text, old, new)
        case .replacePattern(let pattern, let new): return try replaceMatches(text, pattern, new)
        case .strip(let left, let right): return strip(text, left: left, right: right)
        case .lowercase: return text.lowercased()
        case .nfc: return isPlain(text) ? text : text.precomposedStringWithCanonicalMapping
        case .nfd: return isPlain(text) ? text : text.decomposedStringWithCanonicalMapping
        case .nfkc: return isPlain(text) ? text : text.precomposedStringWithCompatibilityMapping
        case .nfkd: return isPlain(text) ? text : text.decomposedStringWithCompatibilityMapping
        }
    }

    /// Whether every normal form of the text is the text itself.
    private func isPlain(_ text: String) -> Bool { text.utf8.allSatisfy { $0 < 0x80 } }

    /// Works on bytes: characters that combine must not hide a match.
    private func replaceBytes(_ text: String, _ old: String, _ new: String) -> String {
        let (source, old, new) = (Array(text.utf8), Array(old.utf8), Array(new.utf8))
        guard let first = old.first else { return text }
        var result: [UInt8] = []
        result.reserveCapacity(source.count + source.count / 4)
        var index = 0
        while index < source.count {
            if source[index] == first, source[index...].starts(with: old) {
                result += new
                index += old.count
            } else {
                result.append(source[index])
                index += 1
            }
        }
        return String(decoding: result, as: UTF8.self)
    }

    private func replaceMatches(_ text: String, _ pattern: Pattern, _ new: String) throws(TokenizerError)
        -> String
    {
        let source = Array(text.utf8)
        var (result, end): ([UInt8], Int) = ([], 0)
        for match in try pattern.matches(in: source[...]) {
            result += source[end..<match.lowerBound]
            result += new.utf8
            end = match.upperBound
        }
        return String(decoding: result + source[end...], as: UTF8.self)
    }

    private func strip(_ text: String, left: Bool, right: Bool) -> String {
        var scalars = text.unicodeScalars[...]
        if left { scalars = scalars.drop { $0.properties.isWhitespace } }
        while right, let last = scalars.last, last.properties.isWhitespace { scalars.removeLast() }
        return String(scalars)
    }
}
