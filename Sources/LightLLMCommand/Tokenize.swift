import ArgumentParser
import Foundation
import JSON
import LightLLM
import Tokenizers

/// Turns lines into token ids; the way to check that a tokenizer gives what the original gives.
struct Tokenize: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Turn lines on standard input into token ids, one JSON object a line.",
        discussion: """
            Special tokens that the model expects around a text are added, and those that a line spells out \
            become what they name. Weights are not loaded.
            """)

    @Option(
        name: .customLong("model_dir"), help: "A Hugging Face folder, a GGUF file, or OWNER/NAME of a hub.")
    var modelDirectory: String

    @Flag(help: "Each line is a JSON string, so that a text may hold line breaks.")
    var json = false

    func run() async throws {
        let tokenizer = try tokenizer(ofModelAt: await localModel(modelDirectory))
        while let line = readLine(strippingNewline: true) {
            let answer = answer(line, tokenizer)
            FileHandle.standardOutput.write(Data((answer.serialized + "\n").utf8))
        }
    }

    private func answer(_ line: String, _ tokenizer: Tokenizer) -> JSONValue {
        do {
            var text = line
            if json {
                guard let parsed = try JSONValue(parsing: line).string else {
                    return ["error": "expected a JSON string"]
                }
                text = parsed
            }
            let ids = try tokenizer.encode(text, parsesSpecialTokens: true)
            return ["ids": .array(ids.map { .integer(Int($0)) })]
        } catch {
            return ["error": .string("\(error)")]
        }
    }
}
