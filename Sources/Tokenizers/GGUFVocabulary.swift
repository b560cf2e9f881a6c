/// The tokenizer a GGUF file carries in its metadata.
public struct GGUFVocabulary: Sendable {
    /// `tokenizer.ggml.model`: "gpt2" for byte-level BPE, "llama" for SentencePiece BPE.
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

    public init(model: String, tokens: [String]) { (self.model, self.tokens) = (model, tokens) }

    public func makeTokenizer() throws(TokenizerError) -> Tokenizer {
        guard types.map({ $0.count == tokens.count }) ?? true,
            scores.map({ $0.count == tokens.count }) ?? true
        else {
            throw .malformed("GGUF: as many token types and scores as tokens expected")
        }
        switch model {
        case "gpt2": return try makeByteLevel()
        case "llama": return try makeSentencePiece()
        default: throw .unsupported("GGUF: the tokenizer model '\(model)'")
        }
    }

    private enum TokenType {
        static let (unknown, control, userDefined) = (2, 3, 4)
    }

    private var addedTokens: [AddedToken] {
        (types ?? []).enumerated().compactMap { id, type in
            switch type {
            case TokenType.unknown, TokenType.control:
                AddedToken(id: Int32(id), content: tokens[id], isSpecial: true)
            case TokenType.userDefined: AddedToken(id: Int32(id), content: tokens[id], isSpecial: false)
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
            addedTokens: added, normalizer: nil, preTokenizer: scheme.preTokenizer,
            model: BytePairModel(
                vocabulary: vocabulary, symbols: .bytes, merges: .ranked(MergeTable(list)),
                takesWholePieces: scheme.takesWholePieces),
            prefix: prefix, suffix: suffix, decoder: TokenDecoder(style: .bytes, strippedSpaces: 0))
    }

    private func makeSentencePiece() throws(TokenizerError) -> Tokenizer {
        guard let scores else { throw .malformed("GGUF: tokenizer.ggml.scores is missing") }
        let vocabulary = Vocabulary(tokens.map { Array($0.utf8) })
        let prefixesSpace = addsSpacePrefix ?? true
        let replace = Normalizer.replace(" ", by: "▁")
        let (prefix, suffix) = try surroundings(addsBOS: true)
        return Tokenizer(
            addedTokens: addedTokens,
            normalizer: prefixesSpace ? .sequence([.prepend("▁"), replace]) : replace,
            preTokenizer: nil,
            model: BytePairModel(
                vocabulary: vocabulary,
                symbols: .characters(
                    unknown: unknown.flatMap { Int32(exactly: $0) }, fusesUnknown: true,
                    byteTokens: vocabulary.byteTokens),
                merges: .scored(scores), takesWholePieces: false),
            prefix: prefix, suffix: suffix,
            decoder: TokenDecoder(
                style: .text(mark: Array("▁".utf8), fallsBackToBytes: true),
                strippedSpaces: prefixesSpace ? 1 : 0))
    }
}

/// How the byte-level tokenizers that llama.cpp knows by name cut text.
private struct ByteLevelScheme {
    let preTokenizer: PreTokenizer
    var takesWholePieces = false
    var addsBOS = false

    init(pre: String) throws(TokenizerError) {
        let words = #"[^\r\n\p{L}\p{N}]?\p{L}+"#
        let rest = #" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
        let contractions = #"(?i:'s|'t|'re|'ve|'m|'ll|'d)"#
        switch pre {
        case "llama-bpe", "llama3", "llama-v3", "dbrx", "smaug-bpe":
            preTokenizer = try .isolating("\(contractions)|\(words)|\\p{N}{1,3}|\(rest)")
            takesWholePieces = pre.hasPrefix("llama")
            addsBOS = pre.hasPrefix("llama")
        case "qwen2", "deepseek-r1-qwen", "stablelm2", "hunyuan":
            preTokenizer = try .isolating("\(contractions)|\(words)|\\p{N}|\(rest)")
        case "smollm", "starcoder", "refact", "command-r", "codeshell":
            preTokenizer = .sequence([
                try .digits(individually: true), try .isolating(PreTokenizer.gpt2Pattern),
            ])
        case "gpt-2", "mpt", "olmo", "jais", "phi-2":
            preTokenizer = try .isolating(PreTokenizer.gpt2Pattern)
        case "default":
            preTokenizer = .sequence([
                try .isolating(#"[\p{P}\$\+<=>\^~\|]+"#), try .isolating(PreTokenizer.gpt2Pattern),
                try .isolating(#"\p{N}+"#), try .isolating("[0-9][0-9][0-9]"),
            ])
        default: throw .unsupported("GGUF: the pre-tokenizer '\(pre)'")
        }
    }
}
