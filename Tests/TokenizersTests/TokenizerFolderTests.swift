import Foundation
import JSON
import Testing

@testable import Tokenizers

/// A folder with these files, which goes away with the test.
private final class Folder {
    let path = NSTemporaryDirectory() + "lightllm-" + UUID().uuidString

    init(_ files: [String: String]) throws {
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        for (name, text) in files {
            try Data(text.utf8).write(to: URL(fileURLWithPath: path + "/" + name))
        }
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }
}

@Suite struct TokenizerFolderTests {
    static let tiny =
        #"{"model":{"type":"WordLevel","vocab":{"a":0,"b":1,"<s>":2,"</s>":3},"unk_token":"a"},"pre_tokenizer":{"type":"WhitespaceSplit"}}"#

    @Test func templatesComeFromWhereverTheyAre() throws {
        func template(_ files: [String: String]) throws -> String? {
            let folder = try Folder(files)
            return try TokenizerFolder(path: folder.path).chatTemplate()
        }
        let config = #"{"chat_template":"C"}"#
        #expect(try template([:]) == nil)
        #expect(try template(["tokenizer_config.json": config]) == "C")
        #expect(
            try template(["tokenizer_config.json": config, "chat_template.json": #"{"chat_template":"J"}"#])
                == "J")
        #expect(
            try template(["tokenizer_config.json": config, "chat_template.jinja": "{{ 1 }}"]) == "{{ 1 }}")
        let several = #"{"chat_template":[{"name":"rag","template":"R"},{"name":"default","template":"D"}]}"#
        #expect(try template(["tokenizer_config.json": several]) == "D")
        #expect(
            try template(["tokenizer_config.json": #"{"chat_template":[{"name":"rag","template":"R"}]}"#])
                == "R")
        #expect(
            try template(["tokenizer_config.json": #"{"tokenizer_class":"QWenTokenizer"}"#])?.contains(
                "<|im_start|>") == true)
        #expect(throws: TokenizerError.self) { try template(["chat_template.json": "{"]) }
    }

    @Test func flagsAndTokensOfTheConfigurationCount() throws {
        func ids(_ config: String, _ text: String = "a b") throws -> [Int32] {
            let folder = try Folder(["tokenizer.json": Self.tiny, "tokenizer_config.json": config])
            return try TokenizerFolder(path: folder.path).makeTokenizer().encode(
                text, parsesSpecialTokens: true)
        }
        let names = #""bos_token":"<s>","eos_token":{"content":"</s>"}"#
        #expect(try ids("{}") == [0, 1])
        #expect(try ids("{\(names)}") == [0, 1])
        #expect(try ids(#"{"add_bos_token":true,\#(names)}"#) == [2, 0, 1])
        #expect(try ids(#"{"add_eos_token":true,\#(names)}"#) == [0, 1, 3])
        #expect(try ids("{\(names)}", "a<s>b") == [0, 2, 1])
        let added =
            #"{"added_tokens_decoder":{"9":{"content":"<x>","lstrip":true,"rstrip":true,"special":true}}}"#
        #expect(try ids(added, "a  <x> b") == [0, 9, 1])
        let word = #"{"added_tokens_decoder":{"9":{"content":"xx","single_word":true}}}"#
        #expect(try ids(word, "xx axx xx-") == [9, 0, 9, 0])
    }

    @Test func theFirstOfSeveralFormsIsTaken() throws {
        let folder = try Folder(["tokenizer.json": Self.tiny, "vocab.json": "{}"])
        #expect(try TokenizerFolder(path: folder.path).forms == [.json, .vocabularyAndMerges])
        let empty = try Folder([:])
        #expect { try TokenizerFolder(path: empty.path).makeTokenizer() } throws: {
            "\($0)".contains("tokenizer.json or tokenizer.model")
        }
        #expect { try TokenizerFolder(path: folder.path).makeTokenizer(from: .vocabularyAndMerges) } throws: {
            "\($0)".contains("merges.txt")
        }
    }

    /// Only a template can name ChatGLM's special tokens.
    @Test func chatGLMHidesItsSpecialTokens() throws {
        var model = SentencePiece(
            kind: .bytePair, pieces: ["<unk>", "▁", "s", "o", "p"], scores: [0, -1, -2, -3, -4],
            types: [2, 1, 1, 1, 1])
        model.unknown = 0
        let configuration = TokenizerConfiguration(["tokenizer_class": "ChatGLMTokenizer"])
        let tokenizer = try Tokenizer(model, configuration)
        #expect(try tokenizer.encode("sop", parsesSpecialTokens: true) == [6, 8, 1, 2, 3, 4])
        #expect(try tokenizer.encode("[gMASK]sops", literalMark: "*") == [6, 8, 1, 2])
        #expect(tokenizer.decode([6, 8, 1, 2], skipsSpecialTokens: false) == "s")
    }
}
