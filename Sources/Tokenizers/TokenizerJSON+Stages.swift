import JSON

/// tokenizer.json nests stages a few levels deep; more is a mistake or an attack.
private let deepestNesting = 8

extension Normalizer {
    init?(json: JSONValue?, depth: Int = 0) throws(TokenizerError) {
        guard let json, !json.isNull else { return nil }
        guard depth < deepestNesting else { throw .malformed("normalizers are nested too deeply") }
        switch json["type"]?.string {
        case "Sequence":
            var steps: [Normalizer] = []
            for step in json["normalizers"]?.array ?? [] {
                if let step = try Normalizer(json: step, depth: depth + 1) { steps.append(step) }
            }
            self = .sequence(steps)
        case "Prepend": self = .prepend(json["prepend"]?.string ?? "")
        case "Replace":
            let content = json["content"]?.string ?? ""
            if let text = json["pattern"]?["String"]?.string {
                self = .replace(text, by: content)
            } else if let pattern = json["pattern"]?["Regex"]?.string {
                self = .replacePattern(try Pattern(pattern), by: content)
            } else {
                throw .malformed("the normalizer Replace has no pattern")
            }
        case "Strip":
            self = .strip(left: json["strip_left"]?.bool ?? true, right: json["strip_right"]?.bool ?? true)
        case "Lowercase": self = .lowercase
        case "NFC": self = .nfc
        case "NFD": self = .nfd
        case "NFKC": self = .nfkc
        case "NFKD": self = .nfkd
        case let type: throw .unsupported("a normalizer of type \(type ?? "none")")
        }
    }
}

/// The pre-tokenizer of a tokenizer.json, and whether it turns text into the byte alphabet.
struct PreTokenizerJSON {
    private(set) var preTokenizer: PreTokenizer?
    private(set) var isByteLevel = false

    init(_ json: JSONValue?) throws(TokenizerError) {
        guard let json, !json.isNull else { return }
        var steps: [PreTokenizer] = []
        try collect(json, into: &steps, depth: 0)
        preTokenizer = .sequence(steps)
    }

    private mutating func collect(
        _ json: JSONValue, into steps: inout [PreTokenizer], depth: Int
    ) throws(TokenizerError) {
        guard depth < deepestNesting else { throw .malformed("pre-tokenizers are nested too deeply") }
        switch json["type"]?.string {
        case "Sequence":
            for step in json["pretokenizers"]?.array ?? [] {
                try collect(step, into: &steps, depth: depth + 1)
            }
        case "Split": steps.append(try split(json))
        case "ByteLevel":
            isByteLevel = true
            if json["add_prefix_space"]?.bool ?? true { steps.append(.prefixSpace) }
            if json["use_regex"]?.bool ?? true { steps.append(try .isolating(PreTokenizer.gpt2Pattern)) }
        case "Digits": steps.append(try .digits(individually: json["individual_digits"]?.bool ?? false))
        case "Whitespace": steps.append(.split(try Pattern(#"\w+|[^\w\s]+"#), .removed, inverted: true))
        case "WhitespaceSplit": steps.append(.split(try Pattern(#"\s+"#), .removed, inverted: false))
        case "Punctuation":
            steps.append(.split(try Pattern(#"[!-/:-@\[-`{-~]|\p{P}"#), try behavior(json), inverted: false))
        case "Metaspace": steps.append(metaspace(json))
        case let type: throw .unsupported("a pre-tokenizer of type \(type ?? "none")")
        }
    }

    private func split(_ json: JSONValue) throws(TokenizerError) -> PreTokenizer {
        let source: String
        if let pattern = json["pattern"]?["Regex"]?.string {
            source = pattern
        } else if let text = json["pattern"]?["String"]?.string {
            // Every character spelled as a code point, so that none has a meaning.
            source = text.unicodeScalars.map { "\\x{\(String($0.value, radix: 16))}" }.joined()
        } else {
            throw .malformed("the pre-tokenizer Split has no pattern")
        }
        return .split(try Pattern(source), try behavior(json), inverted: json["invert"]?.bool ?? false)
    }

    private func behavior(_ json: JSONValue) throws(TokenizerError) -> PreTokenizer.Behavior {
        let name = json["behavior"]?.string ?? "Isolated"
        guard let behavior = PreTokenizer.Behavior(rawValue: name) else {
            throw .unsupported("a split with behavior \(name)")
        }
        return behavior
    }

    private func metaspace(_ json: JSONValue) -> PreTokenizer {
        let prepends: PreTokenizer.Prepending
        switch json["prepend_scheme"]?.string {
        case "never": prepends = .never
        case "first": prepends = .first
        case "always": prepends = .always
        default: prepends = json["add_prefix_space"]?.bool ?? true ? .always : .never
        }
        return .metaspace(
            mark: Array((json["replacement"]?.string ?? "▁").utf8), prepends: prepends,
            splits: json["split"]?.bool ?? true)
    }
}

extension TokenDecoder {
    init(json: JSONValue?) throws(TokenizerError) {
        guard let json, !json.isNull else {
            self.init(style: .text(mark: nil, fallsBackToBytes: false), strippedSpaces: 0)
            return
        }
        let steps = json["type"]?.string == "Sequence" ? json["decoders"]?.array ?? [] : [json]
        var (isBytes, mark, fallsBack, spaces): (Bool, [UInt8]?, Bool, Int) = (false, nil, false, 0)
        for step in steps {
            switch step["type"]?.string {
            case "ByteLevel": isBytes = true
            case "Replace":
                guard let text = step["pattern"]?["String"]?.string, step["content"]?.string == " ",
                    mark == nil
                else { throw .unsupported("a decoder that replaces anything but one mark by a space") }
                mark = Array(text.utf8)
            case "ByteFallback": fallsBack = true
            case "Fuse": break
            case "Strip":
                guard step["content"]?.string == " ", step["stop"]?.int ?? 0 == 0 else {
                    throw .unsupported("a decoder that strips anything but leading spaces")
                }
                spaces = min(max(step["start"]?.int ?? 0, 0), 64)
            case "Metaspace":
                mark = Array((step["replacement"]?.string ?? "▁").utf8)
                let scheme = step["prepend_scheme"]?.string
                spaces = scheme == "never" || step["add_prefix_space"]?.bool == false ? 0 : 1
            case let type: throw .unsupported("a decoder of type \(type ?? "none")")
            }
        }
        self.init(
            style: isBytes ? .bytes : .text(mark: mark, fallsBackToBytes: fallsBack), strippedSpaces: spaces)
    }
}
