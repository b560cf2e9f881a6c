import JSON
import OrderedCollections

extension Tokenizer {
    /// The tokenizer that a tokenizer.json describes.
    init(json: JSONValue, _ configuration: TokenizerConfiguration = .init()) throws(TokenizerError) {
        guard let model = json["model"] else { throw .malformed("tokenizer.json: model is missing") }
        let listed = try Self.addedTokens(json)
        let decoder = try decoderSteps(json["decoder"])
        var stages = PreTokenizerJSON()
        try stages.collect(json["pre_tokenizer"])
        let kind = ModelKind(model)
        let holdsBytes = kind == .bytePair && stages.endsInBytes && decoder.isByteLevel
        if stages.endsInBytes, !holdsBytes { stages.steps.append(.byteAlphabet) }
        let vocabulary = try VocabularyJSON(
            model, added: listed + configuration.addedTokens, byteLevel: holdsBytes)
        let normalizer = try Normalizer(json: json["normalizer"])
        func id(_ token: String) -> Int32? {
            listed.first { $0.content == token }?.id ?? vocabulary.id(of: token)
        }
        let around = configuration.surroundings(orElse: try surroundings(json["post_processor"]), id: id)
        self.init(
            Parts(
                addedTokens: configuration.completing(listed, id: id), normalizer: normalizer,
                preTokenizer: stages.steps.isEmpty ? nil : .sequence(stages.steps),
                model: try kind.makeModel(model, vocabulary), prefix: around.prefix, suffix: around.suffix,
                decoder: holdsBytes ? TokenDecoder(style: .bytes) : TokenDecoder(steps: decoder.steps),
                normalizedSpelling: { token in
                    let spelled = try? normalizer?.apply(Array(token.content.utf8))
                    return spelled.map { String(decoding: $0, as: UTF8.self) } ?? token.content
                }))
    }

    private static func addedTokens(_ json: JSONValue) throws(TokenizerError) -> [AddedToken] {
        var tokens: [AddedToken] = []
        for entry in json["added_tokens"]?.array ?? [] {
            guard let id = entry["id"]?.int.flatMap(Int32.init(exactly:)), id >= 0 else {
                throw .malformed("an added token has no id: \(entry.serialized.prefix(100))")
            }
            guard let token = AddedToken(id: id, json: entry) else {
                throw .malformed("the added token \(id) has no content")
            }
            tokens.append(token)
        }
        return tokens
    }
}

/// `model.vocab` and the added tokens.
struct VocabularyJSON {
    let vocabulary: Vocabulary
    /// Of a Unigram model, by id; 0 for added tokens.
    private(set) var scores: [Double] = []
    let isByteLevel: Bool
    /// The ids of `model.vocab` itself, which added tokens may lie beyond.
    private(set) var listedCount = 0

    init(_ model: JSONValue, added: [AddedToken], byteLevel: Bool) throws(TokenizerError) {
        var table = TokenTable(
            most: (model["vocab"]?.object?.count ?? model["vocab"]?.array?.count ?? 0) + added.count)
        isByteLevel = byteLevel
        func bytes(_ token: String) -> [UInt8] {
            byteLevel ? ByteAlphabet.bytes(of: token) : Array(token.utf8)
        }
        if let entries = model["vocab"]?.object {
            for (key, id) in entries {
                let token = key.string
                guard let id = id.int else {
                    throw .malformed("model.vocab: the id of '\(token)' is no integer")
                }
                try table.set(id, bytes(token))
            }
        } else if let entries = model["vocab"]?.array {
            for (id, entry) in entries.enumerated() {
                guard let pair = entry.array, pair.count == 2, let token = pair[0].string,
                    let score = pair[1].double
                else {
                    throw .malformed(
                        "model.vocab: expected a token and its score, found \(entry.serialized.prefix(100))")
                }
                try table.set(id, bytes(token))
                scores.append(score)
            }
        } else {
            throw .malformed("model.vocab is missing")
        }
        listedCount = table.tokens.count
        for token in added { try table.set(Int(token.id), bytes(token.content)) }
        vocabulary = Vocabulary(table.tokens)
    }

    func id(of token: String) -> Int32? {
        vocabulary.id(of: isByteLevel ? ByteAlphabet.bytes(of: token) : Array(token.utf8))
    }
}

/// Tokens by id, while a file is read.
struct TokenTable {
    private(set) var tokens: [[UInt8]?] = []
    private let most: Int

    /// `most`: about how many there are. Ids far beyond it would make a table that no real vocabulary needs.
    init(most: Int) { self.most = most + 300_000 }

    mutating func set(_ id: Int, _ token: [UInt8]) throws(TokenizerError) {
        guard id >= 0, id < most else {
            throw .malformed("the id \(id) is out of range; expected 0 ..< \(most)")
        }
        if tokens.count <= id { tokens += [[UInt8]?](repeating: nil, count: id + 1 - tokens.count) }
        tokens[id] = token
    }
}

/// The kinds of model that tokenizer.json knows.
private enum ModelKind: Equatable {
    case bytePair, unigram, wordPiece, wordLevel
    case other(String)

    init(_ model: JSONValue) {
        switch model["type"]?.string {
        case "BPE": self = .bytePair
        case "Unigram": self = .unigram
        case "WordPiece": self = .wordPiece
        case "WordLevel": self = .wordLevel
        // Old files leave the type out.
        case nil: self = model["vocab"]?.array == nil ? .bytePair : .unigram
        case let name?: self = .other(name)
        }
    }

    func makeModel(_ json: JSONValue, _ vocabulary: VocabularyJSON) throws(TokenizerError) -> TokenModel {
        switch self {
        case .bytePair: .bytePair(try BytePairModel(json: json, vocabulary))
        case .unigram: .unigram(try UnigramModel(json: json, vocabulary))
        case .wordPiece: .wordPiece(try WordPieceModel(json: json, vocabulary))
        case .wordLevel:
            .wordLevel(
                WordLevelModel(
                    vocabulary: vocabulary.vocabulary,
                    unknown: json["unk_token"]?.string.flatMap(vocabulary.id)))
        case .other(let name):
            throw .unsupported("a model of type \(name); expected BPE, Unigram, WordPiece or WordLevel")
        }
    }
}

extension BytePairModel {
    fileprivate convenience init(json: JSONValue, _ listed: VocabularyJSON) throws(TokenizerError) {
        guard json["dropout"]?.double ?? 0 == 0 else { throw .unsupported("dropout") }
        let vocabulary = listed.vocabulary
        let prefix = Array((json["continuing_subword_prefix"]?.string ?? "").utf8)
        let suffix = Array((json["end_of_word_suffix"]?.string ?? "").utf8)
        let unlisted = Unlisted(
            unknown: json["unk_token"]?.string.flatMap(listed.id), fuses: json["fuse_unk"]?.bool ?? false,
            byteTokens: json["byte_fallback"]?.bool ?? false ? vocabulary.byteTokens : [],
            continuationPrefix: prefix, endSuffix: suffix)
        let isBytes = listed.isByteLevel && prefix.isEmpty && suffix.isEmpty && unlisted.unknown == nil
        let merges = try Self.merges(json["merges"]?.array ?? [], listed, prefix: prefix)
        self.init(
            vocabulary: vocabulary, symbols: isBytes ? .bytes : .characters(unlisted),
            merges: MergeTable(merges), takesWholePieces: json["ignore_merges"]?.bool ?? false)
    }

    private static func merges(
        _ merges: [JSONValue], _ listed: VocabularyJSON, prefix: [UInt8]
    ) throws(TokenizerError) -> [(left: Int32, right: Int32, token: Int32)] {
        var list: [(left: Int32, right: Int32, token: Int32)] = []
        list.reserveCapacity(merges.count)
        for merge in merges {
            let parts = merge.array.map { $0.compactMap(\.string) } ?? mergeParts(merge.string ?? "")
            guard parts.count == 2 else {
                throw .malformed("expected a merge of two tokens, found \(merge.serialized.prefix(100))")
            }
            let entry = listed.vocabulary.merge(
                parts[0], parts[1], byteLevel: listed.isByteLevel, dropping: prefix)
            if let entry { list.append(entry) }
        }
        return list
    }
}

extension UnigramModel {
    fileprivate init(json: JSONValue, _ listed: VocabularyJSON) throws(TokenizerError) {
        guard let unknown = json["unk_id"]?.int, listed.scores.indices.contains(unknown) else {
            throw .malformed(
                "model.unk_id: expected an id below \(listed.scores.count), found \(json["unk_id"]?.serialized ?? "none")"
            )
        }
        self.init(
            vocabulary: listed.vocabulary, scores: listed.scores, unknown: Int32(unknown),
            byteTokens: json["byte_fallback"]?.bool ?? false ? listed.vocabulary.byteTokens : [],
            isListed: { _ in true })
    }
}

extension WordPieceModel {
    fileprivate init(json: JSONValue, _ listed: VocabularyJSON) throws(TokenizerError) {
        let name = json["unk_token"]?.string ?? "[UNK]"
        guard let unknown = listed.id(of: name) else {
            throw .malformed("model.unk_token: '\(name)' is not in the vocabulary")
        }
        self.init(
            vocabulary: listed.vocabulary, unknown: unknown,
            continuationPrefix: Array((json["continuing_subword_prefix"]?.string ?? "##").utf8),
            mostCharacters: json["max_input_chars_per_word"]?.int ?? 100)
    }
}

/// The two sides of a merge as files write it. Split by byte: a character may combine with the space.
func mergeParts(_ merge: String) -> [String] {
    let sides = merge.utf8.split(separator: UInt8(ascii: " "), maxSplits: 1, omittingEmptySubsequences: false)
    return sides.map { String(decoding: $0, as: UTF8.self) }
}

extension Vocabulary {
    /// The pair's tokens and their union, in which the right one goes without `prefix`; nil when the
    /// vocabulary lacks one, as some files' do.
    func merge(
        _ left: String, _ right: String, byteLevel: Bool, dropping prefix: [UInt8] = []
    ) -> (left: Int32, right: Int32, token: Int32)? {
        let first = byteLevel ? ByteAlphabet.bytes(of: left) : Array(left.utf8)
        let second = byteLevel ? ByteAlphabet.bytes(of: right) : Array(right.utf8)
        let rest = second.starts(with: prefix) ? second.dropFirst(prefix.count) : second[...]
        guard let left = id(of: first), let right = id(of: second), let token = id(of: first + rest) else {
            return nil
        }
        return (left, right, token)
    }

    /// The tokens `<0x00>` to `<0xFF>`, as far as they exist.
    var byteTokens: [Int32?] {
        let digits = Array("0123456789ABCDEF".utf8)
        return (0..<256).map { byte in
            id(of: Array("<0x".utf8) + [digits[byte / 16], digits[byte % 16], UInt8(ascii: ">")])
        }
    }
}
