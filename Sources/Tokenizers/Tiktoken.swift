import Foundation
import JSON

/// Byte-level vocabularies whose ranks are their merges: tiktoken's and Mistral's tekken.
struct RankedVocabulary {
    /// By rank; the byte strings that text is cut into.
    let tokens: [[UInt8]]

    /// A .tiktoken file: lines of a token in base64 and its rank.
    init(tiktoken file: [UInt8]) throws(TokenizerError) {
        var table = TokenTable(most: file.count(where: { $0 == 10 }) + 1)
        for line in file.split(separator: UInt8(ascii: "\n")) {
            let parts = line.split(separator: UInt8(ascii: " ")).map { String(decoding: $0, as: UTF8.self) }
            guard parts.count == 2, let bytes = Data(base64Encoded: parts[0]), !bytes.isEmpty,
                let rank = Int(parts[1].trimmingCharacters(in: .whitespaces))
            else {
                let text = String(decoding: line.prefix(60), as: UTF8.self)
                throw .malformed("expected a token in base64 and its rank, found '\(text)'")
            }
            try table.set(rank, Array(bytes))
        }
        try self.init(table, "tiktoken")
    }

    /// `vocab` of a tekken.json; only its first `count` entries count.
    init(tekken entries: [JSONValue], count: Int) throws(TokenizerError) {
        var table = TokenTable(most: entries.count)
        for entry in entries.prefix(count) {
            guard let rank = entry["rank"]?.int, let text = entry["token_bytes"]?.string,
                let bytes = Data(base64Encoded: text), !bytes.isEmpty
            else {
                throw .malformed(
                    "tekken.json: expected a rank and token_bytes, found \(entry.serialized.prefix(60))")
            }
            try table.set(rank, Array(bytes))
        }
        try self.init(table, "tekken.json")
    }

    private init(_ table: TokenTable, _ name: String) throws(TokenizerError) {
        let tokens = table.tokens.compactMap { $0 }
        guard tokens.count == table.tokens.count, !tokens.isEmpty else {
            throw .malformed(
                "\(name): expected tokens of all ranks below \(table.tokens.count), found \(tokens.count)")
        }
        self.tokens = tokens
    }

    /// With `special` tokens, the ids of the others beginning at `first`.
    func makeParts(special: [AddedToken], first: Int = 0, pattern: String) throws(TokenizerError)
        -> Tokenizer.Parts
    {
        var table = TokenTable(most: tokens.count + first + special.count)
        for (rank, token) in tokens.enumerated() { try table.set(first + rank, token) }
        for token in special { try table.set(Int(token.id), Array(token.content.utf8)) }
        let vocabulary = Vocabulary(table.tokens)
        let ids = Int32(first)..<Int32(first + tokens.count)
        let model = BytePairModel(
            vocabulary: vocabulary, symbols: .bytes,
            merges: MergeTable(joining: vocabulary) { ids.contains($0) ? $0 : nil }, takesWholePieces: true)
        return Tokenizer.Parts(
            addedTokens: special, preTokenizer: try .isolating(pattern), model: .bytePair(model),
            decoder: TokenDecoder(style: .bytes))
    }
}

extension Tokenizer {
    /// Qwen's first generation: qwen.tiktoken, and special tokens that its code names.
    init(
        qwen file: [UInt8], _ configuration: TokenizerConfiguration, hasVision: Bool
    ) throws(TokenizerError) {
        let ranked = try RankedVocabulary(tiktoken: file)
        var names = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"] + (0..<205).map { "<|extra_\($0)|>" }
        if hasVision {
            names += [
                "<ref>", "</ref>", "<box>", "</box>", "<quad>", "</quad>", "<img>", "</img>", "<imgpad>",
            ]
        }
        let special = names.enumerated().map {
            AddedToken(id: Int32(clamping: ranked.tokens.count + $0), content: $1, isSpecial: true)
        }
        let digits = KnownPattern.contractionsSource(#"\p{N}"#)
        var parts = try ranked.makeParts(special: special, pattern: digits)
        parts.normalizer = .nfc
        parts.addedTokens = configuration.completing(special) { _ in nil }
        self.init(parts)
    }

    /// tekken.json: special tokens come first, and are numbered apart.
    init(tekken json: JSONValue) throws(TokenizerError) {
        let config = json["config"]
        guard let pattern = config?["pattern"]?.string, let entries = json["vocab"]?.array else {
            throw .malformed("tekken.json: config.pattern or vocab is missing")
        }
        let specialCount = config?["default_num_special_tokens"]?.int ?? 1000
        guard (0...100_000).contains(specialCount) else {
            throw .malformed(
                "tekken.json: expected default_num_special_tokens in 0...100000, found \(specialCount)")
        }
        let count = max(0, min(entries.count, (config?["default_vocab_size"]?.int ?? .max) - specialCount))
        let ranked = try RankedVocabulary(tekken: entries, count: count)
        var names = (0..<specialCount).map { "<SPECIAL_\($0)>" }
        let standard = [
            "<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]",
            "[TOOL_RESULTS]", "[/TOOL_RESULTS]", "[TOOL_CALLS]", "[IMG]", "<pad>", "[IMG_BREAK]", "[IMG_END]",
            "[PREFIX]", "[MIDDLE]", "[SUFFIX]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[TOOL_CONTENT]",
        ]
        if let listed = json["special_tokens"]?.array {
            for entry in listed {
                guard let rank = entry["rank"]?.int, names.indices.contains(rank),
                    let name = entry["token_str"]?.string
                else {
                    throw .malformed(
                        "tekken.json: expected a special token below \(specialCount), found \(entry.serialized.prefix(60))"
                    )
                }
                names[rank] = name
            }
        } else {
            // Files of the first version leave out the special tokens that all share.
            for (rank, name) in standard.enumerated() where rank < specialCount { names[rank] = name }
        }
        let special = names.enumerated().map { AddedToken(id: Int32($0), content: $1, isSpecial: true) }
        var parts = try ranked.makeParts(special: special, first: specialCount, pattern: pattern)
        parts.prefix = names.firstIndex(of: "<s>").map { [Int32($0)] } ?? []
        self.init(parts)
    }
}
