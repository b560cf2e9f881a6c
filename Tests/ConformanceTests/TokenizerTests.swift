import JSON
import Testing
import Tokenizers

@Suite struct TokenizerGoldenTests {
    static let names = Goldens.folders("tokenizers", holding: "tokenizer.json").filter {
        (try? Goldens.json("tokenizers", $0, "tokenizer.json")["model"]?["type"]?.string) ?? "BPE" == "BPE"
    }

    static func tokenizer(_ name: String) throws -> Tokenizer {
        try TokenizerFolder(path: Goldens.path("tokenizers", name)).makeTokenizer()
    }

    @Test func thereAreTokenizers() { #expect(!Self.names.isEmpty) }

    @Test(arguments: names)
    func encodesAndDecodesAsRecorded(_ name: String) throws {
        let tokenizer = try Self.tokenizer(name)
        let cases = try Goldens.json("tokenizers", name, "golden.json")["cases"]?.array ?? []
        #expect(!cases.isEmpty)
        for entry in cases {
            let text = entry["text"]?.string ?? ""
            let ids = try tokenizer.encode(text, parsesSpecialTokens: true)
            #expect(ids == entry["ids"]?.ids, "\(name): \(text.debugDescription)")
            let plain = try tokenizer.encode(text, addsSpecialTokens: false, parsesSpecialTokens: true)
            #expect(plain == entry["ids_no_special"]?.ids, "\(name): \(text.debugDescription)")
            #expect(
                tokenizer.decode(ids, skipsSpecialTokens: false) == entry["decoded"]?.string,
                "\(name): \(ids)")
            #expect(tokenizer.decode(ids) == entry["decoded_skip_special"]?.string, "\(name): \(ids)")
        }
    }

    @Test(arguments: names)
    func decodesPrefixesAsRecorded(_ name: String) throws {
        let tokenizer = try Self.tokenizer(name)
        for entry in try Goldens.json("tokenizers", name, "golden.json")["streaming_prefix_decodes"]?.array
            ?? []
        {
            let ids = entry["ids"]?.ids ?? []
            for (count, expected) in (entry["prefix_decodes"]?.array ?? []).enumerated() {
                #expect(tokenizer.decode(Array(ids[...count])) == expected.string)
            }
        }
    }

    /// What streams out, put together, is what decoding at once gives, and no part of it ends in the middle of
    /// a character.
    @Test(arguments: names)
    func streamsWholeCharacters(_ name: String) throws {
        let tokenizer = try Self.tokenizer(name)
        for entry in try Goldens.json("tokenizers", name, "golden.json")["cases"]?.array ?? [] {
            guard let text = entry["text"]?.string, let ids = entry["ids"]?.ids else { continue }
            let whole = tokenizer.decode(ids)
            var decoder = tokenizer.makeStreamingDecoder()
            var parts = ids.map { decoder.append($0) }
            if !text.contains("\u{FFFD}"), !whole.contains("\u{FFFD}") {
                #expect(!parts.contains { $0.contains("\u{FFFD}") }, "\(name): \(text.debugDescription)")
            }
            parts.append(decoder.finish())
            #expect(parts.joined() == whole, "\(name): \(text.debugDescription)")
        }
    }
}
