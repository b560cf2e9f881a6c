/// The tokenizer a GGUF file carries in its metadata.
public struct GGUFVocabulary: Sendable {
    /// `tokenizer.ggml.model`: "gpt2" for byte-level BPE, "llama" and "t5" for SentencePiece BPE and Unigram.
    public var model: String
    /// `tokenizer.ggml.pre`: which pattern cuts the text.
    public var pre: String?
    public var tokens: [String]
    public var scores: [Float]?
    /// `tokenizer.ggml.token_type`.
    public var types: [Int]?
    public var merges: [String]?
    public var bos: Int?
    public var eos: Int?
    public var unknown: Int?
    public var addsBOS: Bool?
    public var addsEOS: Bool?
    public var addsSpacePrefix: Bool?
    public var removesExtraSpaces: Bool?
    /// `tokenizer.ggml.precompiled_charsmap`.
    public var characterMap: [UInt8]?

    public init(model: String, tokens: [String]) { (self.model, self.tokens) = (model, tokens) }

    public func makeTokenizer() throws(TokenizerError) -> Tokenizer {
        guard types.map({ $0.count == tokens.count }) ?? true,
            scores.map({ $0.count == tokens.count }) ?? true
        else {
            throw .malformed("GGUF: as many token types and scores as tokens expected")
        }
        switch model {
        case "gpt2": return try makeByteLevel()
        case "llama": return try makeSentencePiece(.bytePair)
        case "t5": return try makeSentencePiece(.unigram)
        default: throw .unsupported("GGUF: the tokenizer model '\(model)'; expected gpt2, llama or t5")
        }
    }

    private var addedTokens: [AddedToken] {
        (types ?? []).enumerated().compactMap { id, type in
            switch type {
            case SentencePiece.PieceType.unknown, SentencePiece.PieceType.control:
                AddedToken(id: Int32(id), content: tokens[id], isSpecial: true)
            case SentencePiece.PieceType.userDefined:
                AddedToken(id: Int32(id), content: tokens[id], isSpecial: false)
            default: nil
            }
        }
    }

    private func surroundings(addsBOS: Bool) throws(TokenizerError) -> (prefix: [Int32], suffix: [Int32]) {
        func id(_ token: Int?, _ name: String) throws(TokenizerError) -> Int32 {
            guard let token, tokens.indices.contains(token) else {
                throw .malformed("GGUF: \(name) is missing or outside the vocabulary")
            }
            return Int32(token)
        }
        let prefix = self.addsBOS ?? addsBOS ? [try id(bos, "bos_token_id")] : []
        let suffix = addsEOS ?? false ? [try id(eos, "eos_token_id")] : []
        return (prefix, suffix)
    }

    private func makeByteLevel() throws(TokenizerError) -> Tokenizer {
        let scheme = try ByteLevelScheme(pre: pre ?? "default")
        let added = addedTokens
        let plain = Set(added.map(\.id))
        // Added tokens are written as they are, all others in the byte alphabet.
        let vocabulary = Vocabulary(
            tokens.enumerated().map { id, token in
                plain.contains(Int32(id)) ? Array(token.utf8) : ByteAlphabet.bytes(of: token)
            })
        var list: [(left: Int32, right: Int32, token: Int32)] = []
        for merge in merges ?? [] {
            let parts = mergeParts(merge)
            guard parts.count == 2 else { throw .malformed("GGUF: a merge is no pair: \(merge)") }
            if let entry = vocabulary.merge(parts[0], parts[1], byteLevel: true) { list.append(entry) }
        }
        let (prefix, suffix) = try surroundings(addsBOS: scheme.addsBOS)
        return Tokenizer(
            .init(
                addedTokens: added, normalizer: scheme.normalizer, preTokenizer: scheme.preTokenizer,
                model: .bytePair(
                    BytePairModel(
                        vocabulary: vocabulary, symbols: .bytes, merges: MergeTable(list),
                        takesWholePieces: scheme.takesWholePieces)),
                prefix: prefix, suffix: suffix, decoder: TokenDecoder(style: .bytes)))
    }

    private func makeSentencePiece(_ kind: SentencePiece.Kind) throws(TokenizerError) -> Tokenizer {
        guard let scores else { throw .malformed("GGUF: tokenizer.ggml.scores is missing") }
        var model = SentencePiece(
            kind: kind, pieces: tokens, scores: scores,
            types: types ?? tokens.map { _ in SentencePiece.PieceType.normal })
        model.unknown = unknown.flatMap { tokens.indices.contains($0) ? Int32($0) : nil }
        model.addsDummyPrefix = addsSpacePrefix ?? true
        model.removesExtraSpaces = removesExtraSpaces ?? false
        if let characterMap, !characterMap.isEmpty { model.characterMap = try CharacterMap(characterMap) }
        var parts = try model.makeParts()
        (parts.prefix, parts.suffix) = try surroundings(addsBOS: kind == .bytePair)
        return Tokenizer(parts)
    }
}
