import Foundation
import JSON
import SwiftProtobuf
import Testing

@testable import Tokenizers

/// Byte-pair encoding by its definition: the best pair anywhere, the leftmost of equals, again and again.
private func naiveEncode(_ piece: [UInt8], _ vocabulary: Vocabulary, _ table: MergeTable) -> [Int32] {
    var tokens = piece.compactMap { vocabulary.id(of: [$0]) }
    while true {
        var best: (rank: Int32, index: Int, token: Int32)?
        for index in tokens.indices.dropLast() {
            let merge = table[tokens[index], tokens[index + 1]]
            guard merge.rank < Merge.none.rank else { continue }
            if best.map({ merge.rank < $0.rank }) ?? true { best = (merge.rank, index, merge.token) }
        }
        guard let best else { return tokens }
        tokens.replaceSubrange(best.index...best.index + 1, with: [best.token])
    }
}

@Suite struct BytePairTests {
    /// A vocabulary of a few letters and random merges among them.
    private func random(_ seed: UInt64) -> (Vocabulary, MergeTable) {
        var generator = SystemLikeGenerator(state: seed)
        var tokens: [[UInt8]] = (0..<4).map { [UInt8(ascii: "a") + $0] }
        var merges: [(left: Int32, right: Int32, token: Int32)] = []
        while tokens.count < 40 {
            let (left, right) = (
                Int.random(in: 0..<tokens.count, using: &generator),
                Int.random(in: 0..<tokens.count, using: &generator)
            )
            let union = tokens[left] + tokens[right]
            if union.count > 9 { continue }
            if let known = tokens.firstIndex(of: union) {
                merges.append((Int32(left), Int32(right), Int32(known)))
            } else {
                merges.append((Int32(left), Int32(right), Int32(tokens.count)))
                tokens.append(union)
            }
        }
        return (Vocabulary(tokens), MergeTable(merges))
    }

    @Test(arguments: 1...30)
    func joinsAsTheDefinitionSays(_ seed: Int) {
        let (vocabulary, table) = random(UInt64(seed))
        let model = BytePairModel(
            vocabulary: vocabulary, symbols: .bytes, merges: table, takesWholePieces: false)
        var generator = SystemLikeGenerator(state: UInt64(seed) &* 77)
        for _ in 0..<40 {
            let count = Int.random(in: 0...120, using: &generator)
            let piece = (0..<count).map { _ in UInt8(ascii: "a") + UInt8.random(in: 0..<4, using: &generator)
            }
            var tokens: [Int32] = []
            model.encode(piece, into: &tokens)
            #expect(
                tokens == naiveEncode(piece, vocabulary, table), "\(String(decoding: piece, as: UTF8.self))")
        }
    }

    /// A piece a hundred times as long takes about a hundred times as long, not ten thousand.
    @Test func longPiecesStayFast() throws {
        let vocabulary = Vocabulary([Array("a".utf8), Array("aa".utf8), Array("aaaa".utf8)])
        let table = MergeTable([(0, 0, 1), (1, 1, 2)])
        let model = BytePairModel(
            vocabulary: vocabulary, symbols: .bytes, merges: table, takesWholePieces: false)
        let piece = [UInt8](repeating: UInt8(ascii: "a"), count: 400_000)
        var tokens: [Int32] = []
        let time = ContinuousClock().measure { model.encode(piece, into: &tokens) }
        #expect(tokens == Array(repeating: 2, count: 100_000))
        #expect(time < .seconds(10))
    }

    @Test func scoresDecideWhereTheyRule() {
        let tokens = ["<unk>", "a", "b", "c", "ab", "bc", "abc"].map { Array($0.utf8) }
        let ranks: [Int32] = [0, 0, 0, 0, 2, 1, 3]
        let vocabulary = Vocabulary(tokens)
        let model = BytePairModel(
            vocabulary: vocabulary, symbols: .characters(.init(unknown: 0, fuses: true)),
            merges: MergeTable(joining: vocabulary) { ranks[Int($0)] }, takesWholePieces: false)
        var result: [Int32] = []
        model.encode(Array("abcab??é".utf8), into: &result)
        #expect(result == [6, 4, 0])
    }

    /// Cutting at marks and remembering words change nothing.
    @Test(arguments: 1...10)
    func longTextsAreEncodedAsTheirWhole(_ seed: Int) {
        var generator = SystemLikeGenerator(state: UInt64(seed))
        let letters = ["▁", "a", "b", "c", "▁▁"]
        var tokens = ["<unk>"] + letters
        for _ in 0..<30 {
            let union =
                (tokens.dropFirst().randomElement(using: &generator) ?? "")
                + (letters.randomElement(using: &generator) ?? "")
            if !tokens.contains(union) { tokens.append(union) }
        }
        let vocabulary = Vocabulary(tokens.map { Array($0.utf8) })
        let table = MergeTable(joining: vocabulary) { $0 }
        let model = BytePairModel(
            vocabulary: vocabulary, symbols: .characters(.init(unknown: 0, fuses: true)), merges: table,
            takesWholePieces: false)
        let text = (0..<1500).map { _ in letters.randomElement(using: &generator) ?? "" }.joined()
        var (found, expected): ([Int32], [Int32]) = (
            [], text.unicodeScalars.map { vocabulary.id(of: String($0)) ?? 0 }
        )
        model.encode(Array(text.utf8), into: &found)
        while let best = expected.indices.dropLast().min(by: {
            table[expected[$0], expected[$0 + 1]].rank < table[expected[$1], expected[$1 + 1]].rank
        }), table[expected[best], expected[best + 1]].rank < Merge.none.rank {
            expected.replaceSubrange(best...best + 1, with: [table[expected[best], expected[best + 1]].token])
        }
        #expect(found == expected)
    }
}

struct SystemLikeGenerator: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return state ^ state >> 29
    }
}

@Suite struct PatternTests {
    @Test func readsOnigurumaAsItMeansIt() throws {
        func pieces(_ pattern: String, _ text: String) throws -> [String] {
            let bytes = Array(text.utf8)
            return try Pattern(pattern).matches(in: bytes).map {
                String(decoding: bytes[$0], as: UTF8.self)
            }
        }
        #expect(try pieces(#"\s+"#, "a \u{2003}\u{3000}b\u{180E}c") == [" \u{2003}\u{3000}"])
        #expect(try pieces(#"[^(\s|[.,])]+"#, "ab.c d|e") == ["ab", "c", "d", "e"])
        #expect(try pieces(#"(?i:'s|'t)|\p{L}+"#, "It'S éa") == ["It", "'S", "éa"])
        #expect(throws: TokenizerError.self) { try Pattern("(") }
        #expect(throws: TokenizerError.self) { try Pattern("[a[^b]]") }
    }

    @Test func givesUpOnExplosions() throws {
        let pattern = try Pattern(#"(\p{L}+)+\d"#)
        let text = Array(String(repeating: "a", count: 4000).utf8)
        #expect(throws: TokenizerError.patternTooCostly) { try pattern.matches(in: text) }
    }
}

@Suite struct SpecialTokenTests {
    static func tokenizer() throws -> Tokenizer {
        let path = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("Fixtures/goldens/tokenizers/tiny_bytes").path
        return try TokenizerFolder(path: path).makeTokenizer()
    }

    @Test func areTextUnlessAskedFor() throws {
        let tokenizer = try Self.tokenizer()
        let end = try #require(tokenizer.id(of: "<|end|>"))
        let text = "say <|end|> now"
        #expect(try tokenizer.encode(text).contains(end) == false)
        #expect(try tokenizer.encode(text, parsesSpecialTokens: true).contains(end))
        #expect(try tokenizer.decode(tokenizer.encode(text)) == text)
        #expect(tokenizer.isSpecial(end))
    }

    @Test func areTextWhereMarked() throws {
        let tokenizer = try Self.tokenizer()
        let (begin, end) = (
            try #require(tokenizer.id(of: "<|begin|>")), try #require(tokenizer.id(of: "<|end|>"))
        )
        let tokens = try tokenizer.encode("<|begin|>say <*|end|> now<|end|>", literalMark: "*")
        #expect(tokens.first == begin && tokens.last == end && tokens.count { $0 == end } == 1)
        #expect(tokenizer.decode(tokens, skipsSpecialTokens: false) == "<|begin|>say <|end|> now<|end|>")
    }

    @Test func markingReachesEverySpecialToken() throws {
        let tokenizer = try Self.tokenizer()
        for text in ["<|end|>", "a<|end|><|begin|>é<|end|>", "<|end|<|end|>", "plain é", ""] {
            let marked = tokenizer.marking(text, with: "\u{10FFFD}")
            #expect(marked.replacing("\u{10FFFD}", with: "") == text)
            let tokens = try tokenizer.encode(marked, literalMark: "\u{10FFFD}")
            #expect(!tokens.contains { tokenizer.isSpecial($0) }, "\(text)")
            #expect(tokenizer.decode(tokens) == text)
        }
    }

    @Test func idsOutsideTheVocabularyAreHarmless() throws {
        let tokenizer = try Self.tokenizer()
        #expect(tokenizer.decode([-1, .max, 1_000_000]) == "")
        #expect(tokenizer.bytes(of: -5).isEmpty && !tokenizer.isSpecial(-5))
    }
}

@Suite struct MalformedTokenizerTests {
    @Test(arguments: [
        "{}", #"{"model":{"type":"Unigram"}}"#, #"{"model":{"type":"Odd","vocab":{"a":0}}}"#,
        #"{"model":{"type":"Unigram","vocab":[["a",0]]}}"#,
        #"{"model":{"type":"Unigram","vocab":[["a"]],"unk_id":0}}"#,
        #"{"model":{"type":"WordPiece","vocab":{"a":0}}}"#,
        #"{"model":{"vocab":{"a":0}},"normalizer":{"type":"Precompiled","precompiled_charsmap":"AAAA"}}"#,
        #"{"model":{"vocab":{"a":0}},"normalizer":{"type":"Precompiled","precompiled_charsmap":"?"}}"#,
        #"{"model":{"vocab":{"a":0}},"pre_tokenizer":{"type":"UnicodeScripts"}}"#,
        #"{"model":{"vocab":{"a":0}},"pre_tokenizer":{"type":"Metaspace","prepend_scheme":"odd"}}"#,
        #"{"model":{"vocab":[]}}"#, #"{"model":{"vocab":{"a":-1}}}"#,
        #"{"model":{"vocab":{"a":99999999999}}}"#, #"{"model":{"vocab":{"a":"x"}}}"#,
        #"{"model":{"vocab":{"a":0},"merges":["a"]}}"#, #"{"model":{"vocab":{"a":0},"dropout":0.5}}"#,
        #"{"model":{"vocab":{"a":0}},"normalizer":{"type":"Odd"}}"#,
        #"{"model":{"vocab":{"a":0}},"pre_tokenizer":{"type":"Split","pattern":{"Regex":"("}}}"#,
        #"{"model":{"vocab":{"a":0}},"added_tokens":[{"content":"x"}]}"#,
        #"{"model":{"vocab":{"a":0}},"added_tokens":[{"id":-3,"content":"x"}]}"#,
        #"{"model":{"vocab":{"a":0}},"decoder":{"type":"Odd"}}"#,
        #"{"model":{"vocab":{"a":0}},"post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"z"}}]}}"#,
    ])
    func isRefused(_ text: String) {
        #expect(throws: TokenizerError.self) { try Tokenizer(json: JSONValue(parsing: text)) }
    }

    @Test func depthIsLimited() {
        var stage = #"{"type":"NFC"}"#
        for _ in 0..<20 { stage = #"{"type":"Sequence","normalizers":[\#(stage)]}"# }
        let text = #"{"model":{"vocab":{"a":0}},"normalizer":\#(stage)}"#
        #expect(throws: TokenizerError.self) { try Tokenizer(json: JSONValue(parsing: text)) }
    }

    /// Files that are none, and any one byte of a good one changed: refused or read, but never a trap.
    @Test func damagedVocabulariesAreHarmless() throws {
        for text in ["", "IQ==", "IQ== x", "?? 0", "IQ== 99999999999", "IQ== 5", "IQ== -1"] {
            #expect(throws: TokenizerError.self) { try RankedVocabulary(tiktoken: Array(text.utf8)) }
        }
        var proto = SentencePieceProto()
        for (text, type) in [("<unk>", 2), ("▁", 1), ("a", 1), ("▁a", 1), ("<0x41>", 6)] as [(String, Int32)]
        {
            var piece = SentencePieceProto.Piece()
            (piece.text, piece.type, piece.score) = (text, type, -Float(text.utf8.count))
            proto.pieces.append(piece)
        }
        for type in [1, 2] as [Int32] {
            proto.trainer.modelType = type
            proto.normalizer.characterMap = Data([8, 0, 0, 0, 1, 0, 0, 0, 0xFF, 1, 0, 0, 65, 0])
            let file: [UInt8] = try proto.serializedBytes()
            #expect(throws: Never.self) { try SentencePieceProto(file: file) }
            for index in file.indices {
                for value in [0, 1, 0x7F, 0x80, 0xFF] as [UInt8] {
                    var damaged = file
                    damaged[index] = value
                    let tokenizer = try? Tokenizer(SentencePiece(SentencePieceProto(file: damaged)), .init())
                    _ = try tokenizer?.encode("a aé\u{1F600} <unk>", parsesSpecialTokens: true)
                }
                #expect(throws: (any Error).self) {
                    try SentencePiece(SentencePieceProto(file: Array(file[..<index]) + [0x80]))
                }
            }
        }
    }

    @Test(arguments: [
        "{}", #"{"config":{"pattern":"a"},"vocab":[{"rank":0}]}"#,
        #"{"config":{"pattern":"("},"vocab":[{"rank":0,"token_bytes":"IQ=="}]}"#,
        #"{"config":{"pattern":"a","default_num_special_tokens":-1},"vocab":[]}"#,
        #"{"config":{"pattern":"a"},"vocab":[{"rank":3,"token_bytes":"IQ=="}]}"#,
        #"{"config":{"pattern":"a"},"vocab":[{"rank":0,"token_bytes":"IQ=="}],"special_tokens":[{"rank":-1,"token_str":"x"}]}"#,
    ])
    func tekkenIsChecked(_ text: String) {
        #expect(throws: TokenizerError.self) { try Tokenizer(tekken: JSONValue(parsing: text)) }
    }

    @Test func ggufVocabulariesAreChecked() {
        #expect(throws: TokenizerError.self) {
            try GGUFVocabulary(model: "bert", tokens: ["a"]).makeTokenizer()
        }
        #expect(throws: TokenizerError.self) {
            try GGUFVocabulary(model: "llama", tokens: ["a"]).makeTokenizer()
        }
        var vocabulary = GGUFVocabulary(model: "gpt2", tokens: ["a"])
        vocabulary.pre = "unheard-of"
        #expect(throws: TokenizerError.self) { try vocabulary.makeTokenizer() }
        (vocabulary.pre, vocabulary.addsBOS, vocabulary.bos) = ("gpt-2", true, 7)
        #expect(throws: TokenizerError.self) { try vocabulary.makeTokenizer() }
        vocabulary.types = [1, 1]
        #expect(throws: TokenizerError.self) { try vocabulary.makeTokenizer() }
    }
}

@Suite struct GGUFTokenizerTests {
    @Test func sentencePieceFallsBackToBytes() throws {
        let bytes = (0..<256).map { "<0x" + String(format: "%02X", $0) + ">" }
        let tokens = ["<unk>", "<s>", "</s>"] + bytes + ["▁", "h", "i", "▁h", "▁hi"]
        var vocabulary = GGUFVocabulary(model: "llama", tokens: tokens)
        vocabulary.scores = Array(repeating: 0, count: 259) + [-1, -2, -3, -4, -5]
        vocabulary.types = [2, 3, 3] + Array(repeating: 6, count: 256) + Array(repeating: 1, count: 5)
        (vocabulary.bos, vocabulary.eos, vocabulary.unknown) = (1, 2, 0)
        let tokenizer = try vocabulary.makeTokenizer()
        #expect(try tokenizer.encode("hi hi") == [1, 263, 263])
        let tokens2 = try tokenizer.encode("hi é")
        #expect(tokens2 == [1, 263, 259, 3 + 0xC3, 3 + 0xA9])
        #expect(tokenizer.decode(tokens2) == "hi é")
        var decoder = tokenizer.makeStreamingDecoder()
        #expect(tokens2.map { decoder.append($0) } == ["", "hi", " ", "", "é"])
        #expect(decoder.finish() == "")
    }
}
