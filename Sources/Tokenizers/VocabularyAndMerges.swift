import JSON
import OrderedCollections

extension Tokenizer {
    /// vocab.json and merges.txt, the files of GPT-2 and of those that followed it, Qwen2 among them.
    init(
        vocabulary: JSONValue, merges: [UInt8], added: JSONValue, _ configuration: TokenizerConfiguration
    ) throws(TokenizerError) {
        let lines = merges.split(separator: UInt8(ascii: "\n")).map { line in
            String(decoding: line.last == 13 ? line.dropLast() : line, as: UTF8.self)
        }
        // The first line may name the version.
        let pairs = lines.filter { !$0.hasPrefix("#version") && !$0.isEmpty }
        let isQwen = configuration.tokenizerClass == "Qwen2Tokenizer"
        var normalizer = JSONValue.null
        var steps: [JSONValue] = []
        if isQwen {
            normalizer = ["type": "NFC"]
            let pattern = KnownPattern.contractionsSource(#"\p{N}"#)
            steps.append(["type": "Split", "pattern": ["Regex": .string(pattern)], "behavior": "Isolated"])
        }
        steps.append([
            "type": "ByteLevel", "use_regex": .bool(!isQwen),
            "add_prefix_space": .bool(configuration.json["add_prefix_space"]?.bool ?? false),
        ])
        let tokens: [JSONValue] = (added.object ?? [:]).map { content, id in
            ["id": id, "content": .string(content.string), "special": true]
        }
        let listed = Set((configuration.json["added_tokens_decoder"]?.object ?? [:]).keys.map(\.string))
        try self.init(
            json: [
                "model": ["type": "BPE", "vocab": vocabulary, "merges": .array(pairs.map { .string($0) })],
                "normalizer": normalizer,
                "pre_tokenizer": ["type": "Sequence", "pretokenizers": .array(steps)],
                "decoder": ["type": "ByteLevel"],
                // What tokenizer_config.json says of a token is more than its id.
                "added_tokens": .array(tokens.filter { !listed.contains($0["id"]?.serialized ?? "") }),
            ], configuration)
    }
}
