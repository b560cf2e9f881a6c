import Foundation
import JSON
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
