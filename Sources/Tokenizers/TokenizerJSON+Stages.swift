import Foundation
import JSON

/// tokenizer.json nests stages a few levels deep; more is a mistake or an attack.
private let deepestNesting = 8

/// The steps of a stage that may be a sequence of sequences.
private func flattened(_ json: JSONValue?, _ list: String, depth: Int = 0) throws(TokenizerError)
    -> [JSONValue]
{
    guard let json, !json.isNull else { return [] }
    guard json["type"]?.string == "Sequence" else { return [json] }
    guard depth < deepestNesting else {
        throw .malformed("\(list) are nested more than \(deepestNesting) deep")
    }
    var steps: [JSONValue] = []
    for step in json[list]?.array ?? [] { steps += try flattened(step, list, depth: depth + 1) }
    return steps
}

/// A pattern as tokenizer.json has it, as regular expression.
private func source(_ json: JSONValue, of stage: String) throws(TokenizerError) -> String {
    if let pattern = json["pattern"]?["Regex"]?.string { return pattern }
    guard let text = json["pattern"]?["String"]?.string ?? json["pattern"]?.string else {
        throw .malformed("\(stage) has no pattern")
    }
    return literal(text)
}

/// Every character spelled as a code point, so that none has a meaning.
private func literal(_ text: String) -> String {
    text.unicodeScalars.map { "\\x{\(String($0.value, radix: 16))}" }.joined()
}

extension Normalizer {
    init?(json: JSONValue?) throws(TokenizerError) {
        var steps: [Normalizer] = []
        for step in try flattened(json, "normalizers") { steps += try Self.steps(step) }
        guard let first = steps.first else { return nil }
        self = steps.count == 1 ? first : .sequence(steps)
    }

    private static func steps(_ json: JSONValue) throws(TokenizerError) -> [Normalizer] {
        switch json["type"]?.string {
        case "Prepend": [.prepend(Array((json["prepend"]?.string ?? "").utf8))]
        case "Replace":
            if let text = json["pattern"]?["String"]?.string {
                [.replace(Array(text.utf8), by: Array((json["content"]?.string ?? "").utf8))]
            } else {
                [
                    .replacePattern(
                        try Pattern(try source(json, of: "the normalizer Replace")),
                        by: Array((json["content"]?.string ?? "").utf8))
                ]
            }
        case "Strip":
            [.strip(left: json["strip_left"]?.bool ?? true, right: json["strip_right"]?.bool ?? true)]
        case "Lowercase": [.lowercase]
        case "StripAccents": [.stripAccents]
        case "NFC": [.nfc]
        case "NFD": [.nfd]
        case "NFKC": [.nfkc]
        case "NFKD": [.nfkd]
        case "Nmt": [.nmt]
        case "ByteLevel": [.byteAlphabet]
        case "BertNormalizer": bert(json)
        case "Precompiled":
            [.precompiled(try characterMap(json["precompiled_charsmap"]?.string ?? ""), .clusters)]
        case let type: throw .unsupported("a normalizer of type \(type ?? "none")")
        }
    }

    private static func characterMap(_ text: String) throws(TokenizerError) -> CharacterMap {
        guard let data = Data(base64Encoded: text) else {
            throw .malformed("precompiled_charsmap: expected base64, found '\(text.prefix(20))'")
        }
        return try CharacterMap(Array(data))
    }

    private static func bert(_ json: JSONValue) -> [Normalizer] {
        let lowercases = json["lowercase"]?.bool ?? true
        var steps: [Normalizer] = [
            .bert(
                cleans: json["clean_text"]?.bool ?? true,
                separatesChinese: json["handle_chinese_chars"]?.bool ?? true)
        ]
        if json["strip_accents"]?.bool ?? lowercases { steps += [.nfd, .stripAccents] }
        if lowercases { steps.append(.lowercase) }
        return steps
    }
}

/// The pre-tokenizer of a tokenizer.json.
struct PreTokenizerJSON {
    var steps: [PreTokenizer] = []
    /// Whether the last step turns the text into the byte alphabet, which is left to the model.
    private(set) var endsInBytes = false

    mutating func collect(_ json: JSONValue?) throws(TokenizerError) {
        for step in try flattened(json, "pretokenizers") { try add(step) }
    }

    private mutating func add(_ json: JSONValue) throws(TokenizerError) {
        if endsInBytes {
            steps.append(.byteAlphabet)
            endsInBytes = false
        }
        switch json["type"]?.string {
        case "Split":
            steps.append(
                .split(
                    try Splitter(try source(json, of: "the pre-tokenizer Split")), try behavior(json),
                    inverted: json["invert"]?.bool ?? false))
        case "ByteLevel":
            endsInBytes = true
            if json["add_prefix_space"]?.bool ?? true { steps.append(.prefixSpace) }
            if json["use_regex"]?.bool ?? true { steps.append(try .isolating(KnownPattern.gpt2Source)) }
        case "Digits": steps.append(.digits(individually: json["individual_digits"]?.bool ?? false))
        case "Whitespace": steps.append(.split(try Splitter(#"\w+|[^\w\s]+"#), .removed, inverted: true))
        case "WhitespaceSplit": steps.append(.split(.known(.spaces), .removed, inverted: false))
        case "Punctuation":
            steps.append(.split(try Splitter(Self.punctuation), try behavior(json), inverted: false))
        case "BertPreTokenizer":
            steps.append(.split(.known(.spaces), .removed, inverted: false))
            steps.append(try .isolating(Self.punctuation))
        case "CharDelimiterSplit":
            steps.append(
                .split(try Splitter(literal(json["delimiter"]?.string ?? "")), .removed, inverted: false))
        case "FixedLength": steps.append(.fixedLength(max(1, json["length"]?.int ?? 5)))
        case "Metaspace": steps.append(try metaspace(json))
        case let type: throw .unsupported("a pre-tokenizer of type \(type ?? "none")")
        }
    }

    private static let punctuation = #"[!-/:-@\[-`{-~]|\p{P}"#

    private func behavior(_ json: JSONValue) throws(TokenizerError) -> PreTokenizer.Behavior {
        let name = json["behavior"]?.string ?? "Isolated"
        guard let behavior = PreTokenizer.Behavior(rawValue: name) else {
            throw .unsupported("a split with behavior \(name)")
        }
        return behavior
    }

    private func metaspace(_ json: JSONValue) throws(TokenizerError) -> PreTokenizer {
        let prepends: PreTokenizer.Prepending
        switch json["prepend_scheme"]?.string {
        case "never": prepends = .never
        case "first": prepends = .first
        case "always": prepends = .always
        case nil: prepends = json["add_prefix_space"]?.bool ?? true ? .always : .never
        case let scheme?:
            throw .malformed("prepend_scheme: expected never, first or always, found \(scheme)")
        }
        return .metaspace(
            mark: Array((json["replacement"]?.string ?? "▁").utf8), prepends: prepends,
            splits: json["split"]?.bool ?? true)
    }
}

/// The steps of tokenizer.json's decoder.
struct DecoderJSON {
    fileprivate(set) var steps: [DecoderStep] = []
    /// Whether it does nothing but read the byte alphabet.
    var isByteLevel: Bool {
        if case .byteLevel? = steps.first { return steps.count == 1 }
        return false
    }
}

func decoderSteps(_ json: JSONValue?) throws(TokenizerError) -> DecoderJSON {
    var decoder = DecoderJSON()
    for step in try flattened(json, "decoders") { decoder.steps.append(try DecoderStep(json: step)) }
    if decoder.steps.isEmpty { decoder.steps = [.spaces] }
    return decoder
}

extension DecoderStep {
    init(json: JSONValue) throws(TokenizerError) {
        func bytes(_ key: String, _ standard: String) -> [UInt8] {
            Array((json[key]?.string ?? standard).utf8)
        }
        switch json["type"]?.string {
        case "ByteLevel": self = .byteLevel
        case "ByteFallback": self = .byteFallback
        case "Fuse": self = .fuse
        case "Replace":
            if let text = json["pattern"]?["String"]?.string {
                self = .replace(Array(text.utf8), by: bytes("content", ""))
            } else {
                self = .replacePattern(
                    try Pattern(try source(json, of: "the decoder Replace")), by: bytes("content", ""))
            }
        case "Strip":
            func count(_ key: String) -> Int { min(max(json[key]?.int ?? 0, 0), 64) }
            self = .strip(content: bytes("content", " "), start: count("start"), stop: count("stop"))
        case "Metaspace":
            let scheme = json["prepend_scheme"]?.string
            self = .metaspace(
                mark: bytes("replacement", "▁"),
                stripsFirst: scheme.map { $0 != "never" } ?? json["add_prefix_space"]?.bool ?? true)
        case "WordPiece":
            self = .wordPiece(prefix: bytes("prefix", "##"), cleans: json["cleanup"]?.bool ?? true)
        case "BPEDecoder": self = .endSuffix(bytes("suffix", "</w>"))
        case "CTC":
            self = .connectionist(
                pad: bytes("pad_token", "<pad>"), delimiter: bytes("word_delimiter_token", "|"),
                cleans: json["cleanup"]?.bool ?? true)
        case let type: throw .unsupported("a decoder of type \(type ?? "none")")
        }
    }
}

/// What tokenizer.json's post-processor puts around one text.
func surroundings(_ json: JSONValue?) throws(TokenizerError) -> (prefix: [Int32], suffix: [Int32]) {
    var (prefix, suffix): ([Int32], [Int32]) = ([], [])
    for step in try flattened(json, "processors") {
        let inner: (prefix: [Int32], suffix: [Int32])
        switch step["type"]?.string {
        case "ByteLevel": continue
        case "BertProcessing", "RobertaProcessing":
            inner = (try pairID(step["cls"]), try pairID(step["sep"]))
        case "TemplateProcessing": inner = try template(step)
        case let type: throw .unsupported("a post-processor of type \(type ?? "none")")
        }
        (prefix, suffix) = (inner.prefix + prefix, suffix + inner.suffix)
    }
    return (prefix, suffix)
}

private func pairID(_ entry: JSONValue?) throws(TokenizerError) -> [Int32] {
    guard let id = entry?.array?.last?.int.flatMap(Int32.init(exactly:)), id >= 0 else {
        throw .malformed("post_processor: expected a token and its id, found \(entry?.serialized ?? "none")")
    }
    return [id]
}

private func template(_ json: JSONValue) throws(TokenizerError) -> (prefix: [Int32], suffix: [Int32]) {
    var (prefix, suffix, sawText): ([Int32], [Int32], Bool) = ([], [], false)
    for item in json["single"]?.array ?? [] {
        if item["Sequence"] != nil {
            sawText = true
        } else if let name = item["SpecialToken"]?["id"]?.string {
            guard let ids = json["special_tokens"]?[name]?["ids"]?.array else {
                throw .malformed("post_processor: the token \(name) has no ids")
            }
            let tokens = ids.compactMap { $0.int.flatMap(Int32.init(exactly:)) }.filter { $0 >= 0 }
            if sawText { suffix += tokens } else { prefix += tokens }
        }
    }
    return (prefix, suffix)
}
