/// Cuts a word into the longest tokens from left to right (BERT's WordPiece).
struct WordPieceModel: Sendable {
    let vocabulary: Vocabulary
    let unknown: Int32
    /// What the vocabulary writes before tokens that do not begin a word.
    let continuationPrefix: [UInt8]
    /// A longer word is unknown.
    let mostCharacters: Int

    func encode(_ text: Pieces, into tokens: inout [Int32]) {
        for range in text.ranges {
            let word = text.bytes[range]
            let characters = word.count { $0 & 0xC0 != 0x80 }
            tokens += (characters <= mostCharacters ? cut(word) : nil) ?? [unknown]
        }
    }

    /// nil where no token fits.
    private func cut(_ word: ArraySlice<UInt8>) -> [Int32]? {
        var tokens: [Int32] = []
        var start = word.startIndex
        while start < word.endIndex {
            var end = word.endIndex
            var found: Int32?
            while end > start {
                let part = word[start..<end]
                found = vocabulary.id(of: start == word.startIndex ? part : continuationPrefix + part)
                if found != nil { break }
                repeat { end -= 1 } while end > start && word[end] & 0xC0 == 0x80
            }
            guard let found else { return nil }
            tokens.append(found)
            start = end
        }
        return tokens
    }
}

/// Every piece is a token or unknown.
struct WordLevelModel: Sendable {
    let vocabulary: Vocabulary
    let unknown: Int32?

    func encode(_ text: Pieces, into tokens: inout [Int32]) {
        for range in text.ranges {
            if let id = vocabulary.id(of: text.bytes[range]) ?? unknown { tokens.append(id) }
        }
    }
}

/// What turns pieces into tokens.
enum TokenModel: Sendable {
    case bytePair(BytePairModel)
    case unigram(UnigramModel)
    case wordPiece(WordPieceModel)
    case wordLevel(WordLevelModel)

    var vocabulary: Vocabulary {
        switch self {
        case .bytePair(let model): model.vocabulary
        case .unigram(let model): model.vocabulary
        case .wordPiece(let model): model.vocabulary
        case .wordLevel(let model): model.vocabulary
        }
    }

    func encode(_ text: Pieces, into tokens: inout [Int32]) {
        switch self {
        case .bytePair(let model): model.encode(text, into: &tokens)
        case .unigram(let model): model.encode(text, into: &tokens)
        case .wordPiece(let model): model.encode(text, into: &tokens)
        case .wordLevel(let model): model.encode(text, into: &tokens)
        }
    }
}
