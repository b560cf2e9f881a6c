import JSON
import OrderedCollections

extension Tokenizer {
    /// The tokenizer that a tokenizer.json describes. `additional` are tokens that tokenizer_config.json adds.
    init(json: JSONValue, additional: [AddedToken] = []) throws(TokenizerError) {
        guard let model = json["model"], (model["type"]?.string ?? "BPE") == "BPE" else {
            throw .unsupported("a model of type \(json["model"]?["type"]?.string ?? "none")")
        }
        var added = try Self.addedTokens(json)
        added += additional.filter { token in !added.contains { $0.id == token.id } }
        let steps = try PreTokenizerJSON(json["pre_tokenizer"])
        let vocabulary = try Self.vocabulary(model, added: added, byteLevel: steps.isByteLevel)
        let processor = try Self.surroundings(json["post_processor"], vocabulary)
        self.init(
            addedTokens: added, normalizer: try Normalizer(json: json["normalizer"]),
            preTokenizer: steps.preTokenizer,
            model: try BytePairModel(json: model, vocabulary, byteLevel: steps.isByteLevel),
            prefix: processor.prefix, suffix: processor.suffix,
            decoder: try TokenDecoder(json: json["decoder"]))
    }

    private static func addedTokens(_ json: JSONValue) throws(TokenizerError) -> [AddedToken] {
        var tokens: [AddedToken] = []
        for entry in json["added_tokens"]?.array ?? [] {
            guard let id = entry["id"]?.int.flatMap(Int32.init(exactly:)), id >= 0 else {
                throw .malformed("an added token has no id")
            }
            guard let token = AddedToken(id: id, json: entry) else {
                throw .malformed("the added token \(id) has no content")
            }
            tokens.append(token)
        }
        return tokens
    }

    private static func vocabulary(
        _ model: JSONValue, added: [AddedToken], byteLevel: Bool
    ) throws(TokenizerError) -> Vocabulary {
        guard let entries = model["vocab"]?.object else { throw .malformed("model.vocab is missing") }
        // Ids beyond this would make a table that no real vocabulary needs.
        let most = entries.count + added.count + 100_000
        var tokens: [[UInt8]?] = []
        func set(_ id: Int, _ token: [UInt8]) throws(TokenizerError) {
            guard id >= 0, id < most else { throw .malformed("the id \(id) is out of range") }
            while tokens.count <= id { tokens.append(nil) }
            tokens[id] = token
        }
        for (key, id) in entries {
            let token = key.string
            guard let id = id.int else { throw .malformed("model.vocab: the id of '\(token)' is no integer") }
            try set(id, byteLevel ? ByteAlphabet.bytes(of: token) : Array(token.utf8))
        }
        for token in added {
            try set(
                Int(token.id), byteLevel ? ByteAlphabet.bytes(of: token.content) : Array(token.content.utf8))
        }
        return Vocabulary(tokens)
    }

    /// What the post-processor puts around one text.
    private static func surroundings(
        _ json: JSONValue?, _ vocabulary: Vocabulary
    ) throws(TokenizerError) -> (prefix: [Int32], suffix: [Int32]) {
        guard let json, !json.isNull else { return ([], []) }
        func id(_ entry: JSONValue?) throws(TokenizerError) -> [Int32] {
            guard let id = entry?.array?.last?.int.flatMap(Int32.init(exactly:)) else {
                throw .malformed("post_processor: a token has no id")
            }
            return [id]
        }
        switch json["type"]?.string {
        case "ByteLevel": return ([], [])
        case "BertProcessing", "RobertaProcessing": return (try id(json["cls"]), try id(json["sep"]))
        case "Sequence":
            var (prefix, suffix): ([Int32], [Int32]) = ([], [])
            for step in json["processors"]?.array ?? [] {
                let inner = try surroundings(step, vocabulary)
                (prefix, suffix) = (inner.prefix + prefix, suffix + inner.suffix)
            }
            return (prefix, suffix)
        case "TemplateProcessing": return try template(json)
        case let type: throw .unsupported("a post-processor of type \(type ?? "none")")
        }
    }

    private static func template(_ json: JSONValue) throws(TokenizerError) -> (
        prefix: [Int32], suffix: [Int32]
    ) {
        var (prefix, suffix, sawText): ([Int32], [Int32], Bool) = ([], [], false)
        for item in json["single"]?.array ?? [] {
            if item["Sequence"] != nil {
                sawText = true
            } else if let name = item["SpecialToken"]?["id"]?.string {
                guard let ids = json["special_tokens"]?[name]?["ids"]?.array else {
                    throw .malformed("post_processor: the token \(name) has no ids")
                }
                let tokens = ids.compactMap { $0.int.flatMap(Int32.init(exactly:)) }
                if sawText { suffix += tokens } else { prefix += tokens }
            }
        }
        return (prefix, suffix)
    }
}

extension AddedToken {
    /// An entry of `added_tokens` or `added_tokens_decoder`; nil without content.
    init?(id: Int32, json: JSONValue) {
        guard let content = json["content"]?.string else { return nil }
        self.init(
            id: id, content: content, isSpecial: json["special"]?.bool ?? false,
            isNormalized: json["normalized"]?.bool ?? false, takesSpaceLeft: json["lstrip"]?.bool ?? false,
            takesSpaceRight: json["rstrip"]?.bool ?? false, isSingleWord: json["single_word"]?.bool ?? false)
    }
}

extension BytePairModel {
    init(json: JSONValue, _ vocabulary: Vocabulary, byteLevel: Bool) throws(TokenizerError) {
        for key in ["continuing_subword_prefix", "end_of_word_suffix"] {
            if let affix = json[key]?.string, !affix.isEmpty { throw .unsupported("\(key) '\(affix)'") }
        }
        guard json["dropout"]?.double ?? 0 == 0 else { throw .unsupported("dropout") }
        var symbols = Symbols.bytes
        if !byteLevel {
            symbols = .characters(
                unknown: json["unk_token"]?.string.flatMap { vocabulary.id(of: $0) },
                fusesUnknown: json["fuse_unk"]?.bool ?? false,
                byteTokens: json["byte_fallback"]?.bool ?? false ? vocabulary.byteTokens : [])
        }
        self.init(
            vocabulary: vocabulary, symbols: symbols,
            merges: .ranked(
                try Self.mergeTable(json["merges"]?.array ?? [], vocabulary, byteLevel: byteLevel)),
            takesWholePieces: json["ignore_merges"]?.bool ?? false)
    }

    private static func mergeTable(
        _ merges: [JSONValue], _ vocabulary: Vocabulary, byteLevel: Bool
    ) throws(TokenizerError) -> MergeTable {
        var list: [(left: Int32, right: Int32, token: Int32)] = []
        list.reserveCapacity(merges.count)
        for merge in merges {
            let parts: [String]
            if let pair = merge.array {
                parts = pair.compactMap(\.string)
            } else {
                parts = mergeParts(merge.string ?? "")
            }
            guard parts.count == 2 else { throw .malformed("a merge is no pair: \(merge.serialized)") }
            if let entry = vocabulary.merge(parts[0], parts[1], byteLevel: byteLevel) { list.append(entry) }
        }
        return MergeTable(list)
    }
}

/// The two sides of a merge as files write it. Split by byte: a character may combine with the space.
func mergeParts(_ merge: String) -> [String] {
    let sides = merge.utf8.split(separator: UInt8(ascii: " "), maxSplits: 1, omittingEmptySubsequences: false)
    return sides.map { String(decoding: $0, as: UTF8.self) }
}

extension Vocabulary {
    /// The pair's tokens and their union; nil when the vocabulary lacks one, as some files' do.
    func merge(_ left: String, _ right: String, byteLevel: Bool) -> (left: Int32, right: Int32, token: Int32)?
    {
        let first = byteLevel ? ByteAlphabet.bytes(of: left) : Array(left.utf8)
        let second = byteLevel ? ByteAlphabet.bytes(of: right) : Array(right.utf8)
        guard let left = id(of: first), let right = id(of: second), let token = id(of: first + second) else {
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
