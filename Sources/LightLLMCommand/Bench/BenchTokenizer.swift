import ArgumentParser
import Foundation
import JSON
import LightLLM
import Tokenizers

/// Measures a tokenizer on one thread.
struct BenchTokenizer: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tokenizer", abstract: "Measure how fast text becomes tokens, on one thread.")

    @Option(
        name: .customLong("model_dir"), help: "A Hugging Face folder, a GGUF file, or OWNER/NAME of a hub.")
    var modelDirectory: String

    @Option(help: "A file of texts, one JSON string a line.")
    var file: String

    func run() async throws {
        let tokenizer = try tokenizer(ofModelAt: await localModel(modelDirectory))
        guard let data = FileManager.default.contents(atPath: file) else {
            throw ValidationError("\(file): no such file")
        }
        let texts = try data.split(separator: UInt8(ascii: "\n")).map { line in
            try JSONValue(parsing: Array(line)).string ?? ""
        }
        // The tables of characters are made on first use.
        _ = try tokenizer.encode(texts.first ?? "", parsesSpecialTokens: true)
        var tokens = 0
        let time = try ContinuousClock().measure {
            for text in texts { tokens += try tokenizer.encode(text, parsesSpecialTokens: true).count }
        }
        let answer: JSONValue = [
            "tokens": .integer(tokens), "seconds": .number(time / .seconds(1)),
            "bytes": .integer(texts.reduce(0) { $0 + $1.utf8.count }),
        ]
        print(answer.serialized)
    }
}
