import Foundation
import JSON
import OrderedCollections
import Testing
import Tokenizers

/// A folder with a vocabulary in one of the forms it comes in.
struct TokenizerSource: CustomTestStringConvertible, Sendable {
    let kind: String
    let name: String
    let form: TokenizerFolder.Form

    static func all(_ kind: String) -> [TokenizerSource] {
        Goldens.folders(kind, holding: "golden.json").flatMap { name in
            ((try? TokenizerFolder(path: Goldens.path(kind, name)))?.forms ?? []).map {
                TokenizerSource(kind: kind, name: name, form: $0)
            }
        }
    }

    var testDescription: String { "\(name)/\(form.rawValue)" }

    func tokenizer() throws -> Tokenizer {
        try TokenizerFolder(path: Goldens.path(kind, name)).makeTokenizer(from: form)
    }

    func golden() throws -> JSONValue { try Goldens.json(kind, name, "golden.json") }
}

@Suite struct TokenizerGoldenTests {
    static let sources = TokenizerSource.all("tokenizers")
    static let models = TokenizerSource.all("models")

    @Test func thereAreTokenizers() {
        #expect(!Self.sources.isEmpty)
        #expect(Set(Self.sources.map(\.form)).isSuperset(of: [.json, .sentencePiece, .tiktoken]))
        let folders = Goldens.folders("tokenizers", holding: "golden.json")
        #expect(Set(Self.sources.map(\.name)) == Set(folders))
    }

    @Test(arguments: sources)
    func encodesAndDecodesAsRecorded(_ source: TokenizerSource) throws {
        let tokenizer = try source.tokenizer()
        let cases = try source.golden()["cases"]?.array ?? []
        #expect(!cases.isEmpty)
        for entry in cases {
            let text = entry["text"]?.string ?? ""
            let ids = try tokenizer.encode(text, parsesSpecialTokens: true)
            #expect(ids == entry["ids"]?.ids, "\(source.testDescription): \(text.debugDescription)")
            let plain = try tokenizer.encode(text, addsSpecialTokens: false, parsesSpecialTokens: true)
            #expect(
                plain == entry["ids_no_special"]?.ids, "\(source.testDescription): \(text.debugDescription)")
            let recorded = entry["ids"]?.ids ?? []
            #expect(
                tokenizer.decode(recorded, skipsSpecialTokens: false) == entry["decoded"]?.string,
                "\(source.testDescription): \(recorded)")
            #expect(
                tokenizer.decode(recorded) == entry["decoded_skip_special"]?.string,
                "\(source.testDescription): \(recorded)")
        }
    }

    @Test(arguments: sources)
    func decodesPrefixesAsRecorded(_ source: TokenizerSource) throws {
        let tokenizer = try source.tokenizer()
        for entry in try source.golden()["streaming_prefix_decodes"]?.array ?? [] {
            let ids = entry["ids"]?.ids ?? []
            for (count, expected) in (entry["prefix_decodes"]?.array ?? []).enumerated() {
                #expect(tokenizer.decode(Array(ids[...count])) == expected.string)
            }
        }
    }

    /// What streams out, put together, is what decoding at once gives, and no part of it ends in the middle of
    /// a character.
    @Test(arguments: sources)
    func streamsWholeCharacters(_ source: TokenizerSource) throws {
        let tokenizer = try source.tokenizer()
        for entry in try source.golden()["cases"]?.array ?? [] {
            guard let text = entry["text"]?.string, let ids = entry["ids"]?.ids else { continue }
            let whole = tokenizer.decode(ids)
            var decoder = tokenizer.makeStreamingDecoder()
            var parts = ids.map { decoder.append($0) }
            if !text.contains("\u{FFFD}"), !whole.contains("\u{FFFD}") {
                #expect(
                    !parts.contains { $0.contains("\u{FFFD}") },
                    "\(source.testDescription): \(text.debugDescription)")
            }
            parts.append(decoder.finish())
            // InternLM's code takes spaces out of whole texts, which have left already in a stream.
            let squeezed = parts.joined().filter { $0 != " " } == whole.filter { $0 != " " }
            #expect(
                parts.joined() == whole || (source.name.hasPrefix("internlm") && squeezed),
                "\(source.testDescription): \(text.debugDescription)")
        }
    }

    /// Text to ids, and greedy ids to text, as recorded beside each model.
    @Test(arguments: models)
    func modelsReadAndWriteTheirText(_ source: TokenizerSource) throws {
        let tokenizer = try source.tokenizer()
        for entry in try source.golden()["text"]?["cases"]?.array ?? [] {
            let text = entry["text"]?.string ?? ""
            #expect(try tokenizer.encode(text, parsesSpecialTokens: true) == entry["ids"]?.ids, "\(text)")
            let (ids, greedy) = (entry["ids"]?.ids ?? [], entry["greedy"]?.ids ?? [])
            if let full = entry["full_text"]?.string { #expect(tokenizer.decode(ids + greedy) == full) }
            if let continuation = entry["continuation"]?.string {
                var decoder = tokenizer.makeStreamingDecoder(continuing: true)
                let streamed = greedy.map { decoder.append($0) }.joined() + decoder.finish()
                #expect([tokenizer.decode(greedy), streamed].contains(continuation), "\(text)")
            }
        }
    }
}

/// The vocabularies of recorded tokenizers as a GGUF file would carry them.
@Suite struct GGUFTokenizerGoldenTests {
    static let named = [
        ("llama3", "llama-bpe"), ("qwen2", "qwen2"), ("starcoder", "starcoder"),
        ("deepseek_v2", "deepseek-llm"),
        ("bloom_small", "bloom"), ("cohere_small", "command-r"), ("tiny_bytes", "llama-bpe"),
        ("tiny_gpt2", "gpt-2"),
    ].filter { Goldens.folders("tokenizers", holding: "tokenizer.json").contains($0.0) }

    @Test(arguments: named)
    func cutsAsThePublishedTokenizer(_ name: String, _ pre: String) throws {
        let json = try Goldens.json("tokenizers", name, "tokenizer.json")
        let added = json["added_tokens"]?.array ?? []
        let entries = (json["model"]?["vocab"]?.object ?? [:]).map { ($0.string, $1.int ?? 0) }
        let last = (entries.map(\.1) + added.compactMap { $0["id"]?.int }).max() ?? 0
        var tokens = [String](repeating: "", count: last + 1)
        var types = [Int](repeating: 1, count: last + 1)
        for (token, id) in entries { tokens[id] = token }
        for entry in added {
            let id = entry["id"]?.int ?? 0
            (tokens[id], types[id]) = (
                entry["content"]?.string ?? "", entry["special"]?.bool ?? false ? 3 : 4
            )
        }
        var vocabulary = GGUFVocabulary(model: "gpt2", tokens: tokens)
        (vocabulary.pre, vocabulary.types, vocabulary.addsBOS) = (pre, types, false)
        vocabulary.merges = (json["model"]?["merges"]?.array ?? []).map { merge in
            merge.string ?? (merge.array ?? []).compactMap(\.string).joined(separator: " ")
        }
        let tokenizer = try vocabulary.makeTokenizer()
        for entry in try Goldens.json("tokenizers", name, "golden.json")["cases"]?.array ?? [] {
            let text = entry["text"]?.string ?? ""
            #expect(
                try tokenizer.encode(text, parsesSpecialTokens: true) == entry["ids_no_special"]?.ids,
                "\(name): \(text.debugDescription)")
        }
    }

    @Test func someAreThere() { #expect(!Self.named.isEmpty) }
}
