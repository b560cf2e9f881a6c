/// A SentencePiece model, from whatever file, and the tokenizer it makes.
///
/// Ids are those of the family's published tokenizer.json: each part of a text between special tokens gets
/// the prefix space, and control tokens that a text spells out count.
struct SentencePiece: Sendable {
    enum Kind: Sendable {
        case bytePair, unigram
    }

    /// The types of pieces, as SentencePiece and GGUF number them.
    enum PieceType {
        static let (normal, unknown, control, userDefined, unused, byte) = (1, 2, 3, 4, 5, 6)
    }

    var kind: Kind
    var pieces: [String]
    var scores: [Float]
    var types: [Int]
    var unknown: Int32?
    var bos: Int32?
    var eos: Int32?
    var characterMap: CharacterMap?
    var addsDummyPrefix = true
    var removesExtraSpaces = false

    private static let mark = Array("▁".utf8)

    init(kind: Kind, pieces: [String], scores: [Float], types: [Int]) {
        (self.kind, self.pieces, self.scores, self.types) = (kind, pieces, scores, types)
    }

    init(_ proto: SentencePieceProto) throws(TokenizerError) {
        switch proto.trainer.modelType {
        case 1: kind = .unigram
        case 2: kind = .bytePair
        case let type:
            throw .unsupported("a SentencePiece model of type \(type); expected 1 (Unigram) or 2 (BPE)")
        }
        guard !proto.pieces.isEmpty else { throw .malformed("tokenizer.model has no pieces") }
        guard !proto.trainer.marksSpaceAsSuffix, proto.normalizer.escapesSpaces else {
            throw .unsupported("a SentencePiece model that marks spaces otherwise than by ▁ before words")
        }
        pieces = proto.pieces.map(\.text)
        scores = proto.pieces.map(\.score)
        types = proto.pieces.map { Int($0.type) }
        let count = Int32(clamping: pieces.count)
        func valid(_ id: Int32) -> Int32? { (0..<count).contains(id) ? id : nil }
        unknown = types.firstIndex(of: PieceType.unknown).map { Int32($0) } ?? valid(proto.trainer.unknown)
        (bos, eos) = (valid(proto.trainer.bos), valid(proto.trainer.eos))
        let map = Array(proto.normalizer.characterMap)
        characterMap = map.isEmpty ? nil : try CharacterMap(map)
        addsDummyPrefix = proto.normalizer.addsDummyPrefix
        removesExtraSpaces = proto.normalizer.removesExtraSpaces
    }

    /// `additional`: tokens beyond the pieces.
    func makeParts(additional: [AddedToken] = []) throws(TokenizerError) -> Tokenizer.Parts {
        var table = TokenTable(most: pieces.count + additional.count)
        for (id, piece) in pieces.enumerated() { try table.set(id, Array(piece.utf8)) }
        for token in additional where Int(token.id) >= pieces.count {
            try table.set(Int(token.id), Array(token.content.utf8))
        }
        // SentencePiece's own lookup ends at a zero byte, so that no such piece is ever found.
        let hidden = pieces.indices.filter { pieces[$0].utf8.contains(0) }
        let vocabulary = Vocabulary(table.tokens, hiding: Set(hidden))
        return Tokenizer.Parts(
            addedTokens: addedTokens, normalizer: normalizer, model: try makeModel(vocabulary),
            decoder: decoder)
    }

    private var addedTokens: [AddedToken] {
        types.enumerated().compactMap { id, type in
            let content = pieces[id]
            switch type {
            case PieceType.unknown, PieceType.control:
                return AddedToken(id: Int32(id), content: content, isSpecial: true)
            case PieceType.userDefined:
                // Marks only come up in normalised text.
                return AddedToken(
                    id: Int32(id), content: content, isSpecial: false,
                    isNormalized: content.unicodeScalars.contains("▁"))
            default: return nil
            }
        }
    }

    private var normalizer: Normalizer? {
        var steps: [Normalizer] = []
        if let characterMap { steps.append(.precompiled(characterMap, .longest)) }
        if removesExtraSpaces { steps.append(.removeExtraSpaces) }
        if addsDummyPrefix { steps.append(.prepend(Self.mark)) }
        steps.append(.replace([UInt8(ascii: " ")], by: Self.mark))
        return .sequence(steps)
    }

    private var decoder: TokenDecoder {
        TokenDecoder(
            style: .text(mark: Self.mark, fallsBackToBytes: types.contains(PieceType.byte)),
            strippedSpaces: addsDummyPrefix ? 1 : 0)
    }

    private func isListed(_ id: Int32) -> Bool {
        guard types.indices.contains(Int(id)) else { return false }
        return types[Int(id)] == PieceType.normal || types[Int(id)] == PieceType.userDefined
    }

    func makeModel(_ vocabulary: Vocabulary, unknown replacement: Int32? = nil) throws(TokenizerError)
        -> TokenModel
    {
        guard scores.count == pieces.count, types.count == pieces.count else {
            throw .malformed(
                "expected \(pieces.count) scores and types, found \(scores.count) and \(types.count)")
        }
        let byteTokens = types.contains(PieceType.byte) ? vocabulary.byteTokens : []
        let unknown = replacement ?? unknown
        switch kind {
        case .bytePair:
            let ranks = self.ranks
            return .bytePair(
                BytePairModel(
                    vocabulary: vocabulary,
                    symbols: .characters(.init(unknown: unknown, fuses: true, byteTokens: byteTokens)),
                    merges: MergeTable(joining: vocabulary) { isListed($0) ? ranks[Int($0)] : nil },
                    takesWholePieces: false))
        case .unigram:
            guard let unknown else { throw .malformed("a Unigram model without unknown token") }
            return .unigram(
                UnigramModel(
                    vocabulary: vocabulary, scores: scores.map { Double($0) }, unknown: unknown,
                    byteTokens: byteTokens, isListed: isListed))
        }
    }

    /// The rank of each piece's score, highest first; equal scores are of one rank.
    private var ranks: [Int32] {
        let order = scores.indices.sorted { scores[$0] > scores[$1] }
        var (ranks, rank, last) = ([Int32](repeating: 0, count: scores.count), Int32(0), Float.nan)
        for index in order {
            if scores[index] != last { rank += 1 }
            (ranks[index], last) = (rank, scores[index])
        }
        return ranks
    }
}
