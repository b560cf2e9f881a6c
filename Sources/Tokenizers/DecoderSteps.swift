/// A stage of tokenizer.json's decoder: rewrites the list of tokens' texts, which are joined at the end.
enum DecoderStep: Sendable {
    case byteLevel
    case byteFallback
    case fuse
    case replace([UInt8], by: [UInt8])
    case replacePattern(Pattern, by: [UInt8])
    /// Drops up to so many `content` from both ends of each text.
    case strip(content: [UInt8], start: Int, stop: Int)
    case metaspace(mark: [UInt8], stripsFirst: Bool)
    case wordPiece(prefix: [UInt8], cleans: Bool)
    case endSuffix([UInt8])
    case connectionist(pad: [UInt8], delimiter: [UInt8], cleans: Bool)
    /// What there is without a decoder.
    case spaces

    /// `continuing`: the tokens follow others, so that a space before the first one stays.
    func apply(_ tokens: [[UInt8]], continuing: Bool) -> [[UInt8]] {
        switch self {
        case .byteLevel:
            let bytes = tokens.flatMap { ByteAlphabet.bytes(of: String(decoding: $0, as: UTF8.self)) }
            return [Array(String(decoding: bytes, as: UTF8.self).utf8)]
        case .byteFallback: return Self.fallback(tokens)
        case .fuse: return [Array(tokens.joined())]
        case .replace(let old, let new): return tokens.map { Self.replace($0, old, new) }
        case .replacePattern(let pattern, let new):
            let replace = Normalizer.replacePattern(pattern, by: new)
            return tokens.map { (try? replace.apply($0)) ?? $0 }
        case .strip(let content, let start, let stop):
            return tokens.enumerated().map { index, token in
                Self.strip(token, content, index == 0 && continuing ? 0 : start, stop)
            }
        case .metaspace(let mark, let stripsFirst):
            return tokens.enumerated().map { index, token in
                Self.replace(token, mark, index == 0 && stripsFirst && !continuing ? [] : [UInt8(ascii: " ")])
            }
        case .wordPiece(let prefix, let cleans):
            return tokens.enumerated().map { index, token in
                let isFirst = index == 0 && !continuing
                let text =
                    token.starts(with: prefix)
                    ? Array(token.dropFirst(prefix.count)) : [UInt8(ascii: " ")] + token
                return Self.cleaned(isFirst ? token : text, cleans)
            }
        case .endSuffix(let suffix):
            return tokens.enumerated().map { index, token in
                Self.replace(token, suffix, index == tokens.count - 1 ? [] : [UInt8(ascii: " ")])
            }
        case .connectionist(let pad, let delimiter, let cleans):
            var result: [[UInt8]] = []
            for (index, token) in tokens.enumerated() where index == 0 || token != tokens[index - 1] {
                let text = Self.cleaned(Self.replace(token, pad, []), cleans)
                let spaced = cleans ? Self.replace(text, delimiter, [UInt8(ascii: " ")]) : text
                if !spaced.isEmpty { result.append(spaced) }
            }
            return result
        case .spaces: return [Array(tokens.joined(separator: [UInt8(ascii: " ")]))]
        }
    }

    private static func fallback(_ tokens: [[UInt8]]) -> [[UInt8]] {
        var (result, run): ([[UInt8]], [UInt8]) = ([], [])
        for token in tokens {
            if let byte = TokenDecoder.byteToken(token[...]) {
                run.append(byte)
                continue
            }
            if !run.isEmpty { result.append(textOfRun(run)) }
            run = []
            result.append(token)
        }
        if !run.isEmpty { result.append(textOfRun(run)) }
        return result
    }

    /// A run of bytes as text: all of it or, where it is no UTF-8, none.
    static func textOfRun(_ run: [UInt8]) -> [UInt8] {
        String(validating: run, as: UTF8.self) != nil
            ? run : Array(String(repeating: "\u{FFFD}", count: run.count).utf8)
    }

    private static func strip(_ token: [UInt8], _ content: [UInt8], _ start: Int, _ stop: Int) -> [UInt8] {
        var rest = token[...]
        guard !content.isEmpty else { return token }
        for _ in 0..<start where rest.starts(with: content) { rest = rest.dropFirst(content.count) }
        for _ in 0..<stop where rest.suffix(content.count).elementsEqual(content) {
            rest = rest.dropLast(content.count)
        }
        return Array(rest)
    }

    static func replace(_ text: some Collection<UInt8>, _ old: [UInt8], _ new: [UInt8]) -> [UInt8] {
        guard let first = old.first else { return Array(text) }
        var result: [UInt8] = []
        var rest = Array(text)[...]
        while let byte = rest.first {
            if byte == first, rest.starts(with: old) {
                result += new
                rest = rest.dropFirst(old.count)
            } else {
                result.append(byte)
                rest = rest.dropFirst()
            }
        }
        return result
    }

    /// Takes back the spaces that cutting English into words put in.
    private static func cleaned(_ text: [UInt8], _ cleans: Bool) -> [UInt8] {
        guard cleans else { return text }
        return (tidying[..<7] + [(" do not", " don't")] + tidying[7...]).reduce(text) {
            replace($0, Array($1.0.utf8), Array($1.1.utf8))
        }
    }

    private static let tidying = [
        (" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"), (" 'm", "'m"),
        (" 's", "'s"), (" 've", "'ve"), (" 're", "'re"),
    ]

    /// The text without the spaces before punctuation and contractions (`clean_up_tokenization`).
    static func tidied(_ text: String) -> String {
        let bytes = tidying.reduce(Array(text.utf8)) { replace($0, Array($1.0.utf8), Array($1.1.utf8)) }
        return String(decoding: bytes, as: UTF8.self)
    }
}
