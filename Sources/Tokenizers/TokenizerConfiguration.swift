import JSON
import OrderedCollections

/// What tokenizer_config.json says about a tokenizer, whatever file the vocabulary comes from.
struct TokenizerConfiguration: Sendable {
    let json: JSONValue

    init(_ json: JSONValue = .object([:])) { self.json = json }

    /// Without "Fast", which names the same tokenizer in another implementation.
    var tokenizerClass: String {
        let name = json["tokenizer_class"]?.string ?? ""
        return name.hasSuffix("Fast") ? String(name.dropLast(4)) : name
    }

    var addsBOS: Bool? { json["add_bos_token"]?.bool }
    var addsEOS: Bool? { json["add_eos_token"]?.bool }

    /// The content of `bos_token` and the like, which is a string or an object with one.
    func specialToken(_ key: String) -> String? { Self.content(json[key]) }

    private static func content(_ entry: JSONValue?) -> String? { entry?.string ?? entry?["content"]?.string }

    /// `added_tokens_decoder`.
    var addedTokens: [AddedToken] {
        (json["added_tokens_decoder"]?.object ?? [:]).compactMap { key, entry in
            guard let id = Int32(key.string), id >= 0 else { return nil }
            return AddedToken(id: id, json: entry)
        }
    }

    /// `tokens` with those of this file, and with what it names as special if `id` knows it.
    func completing(_ tokens: [AddedToken], id: (String) -> Int32?) -> [AddedToken] {
        var (result, known) = (tokens, Set(tokens.map(\.id)))
        for token in addedTokens where known.insert(token.id).inserted { result.append(token) }
        let contents = Set(result.map(\.content))
        for content in specialContents where !contents.contains(content) {
            guard let id = id(content), known.insert(id).inserted else { continue }
            result.append(AddedToken(id: id, content: content, isSpecial: true))
        }
        return result
    }

    /// The contents that the file names as special.
    var specialContents: [String] {
        let named = ["bos", "eos", "unk", "sep", "pad", "cls", "mask"].compactMap {
            specialToken($0 + "_token")
        }
        let more = json["additional_special_tokens"]?.array ?? json["extra_special_tokens"]?.array ?? []
        return named + more.compactMap { Self.content($0) }
    }

    /// The tokens around a text: those that the flags ask for where there are any, or else `others`.
    func surroundings(
        orElse others: (prefix: [Int32], suffix: [Int32]), id: (String) -> Int32?
    ) -> (prefix: [Int32], suffix: [Int32]) {
        guard addsBOS != nil || addsEOS != nil else { return others }
        func token(_ key: String) -> [Int32] { specialToken(key).flatMap(id).map { [$0] } ?? [] }
        return (addsBOS == true ? token("bos_token") : [], addsEOS == true ? token("eos_token") : [])
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
