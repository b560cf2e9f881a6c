import ArgumentParser
import ChatTemplates
import Foundation
import JSON
import LightLLM
import OrderedCollections
import Tokenizers

/// Renders conversations; the way to check that a template gives what the original gives.
struct Render: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Render chats, one JSON object a line on standard input, with a chat template.")

    @Option(name: .customLong("template"), help: "A file that holds the template.")
    var template: String?

    @Option(name: .customLong("model_dir"), help: "A Hugging Face folder or GGUF file with a template.")
    var modelDirectory: String?

    func validate() throws {
        if (template == nil) == (modelDirectory == nil) {
            throw ValidationError("expected one of --template and --model_dir")
        }
    }

    func run() async throws {
        let template = try ChatTemplate(await source())
        while let line = readLine() {
            guard !line.utf8.allSatisfy({ $0 <= 0x20 }) else { continue }
            print(answer(line, template).serialized)
        }
    }

    private func source() async throws -> String {
        if let template {
            guard let data = FileManager.default.contents(atPath: template) else {
                throw ValidationError("\(template): no such file")
            }
            return String(decoding: data, as: UTF8.self)
        }
        let path = try await localModel(modelDirectory ?? "")
        guard let source = try chatTemplate(ofModelAt: path) else {
            throw ValidationError("\(path): no chat template found")
        }
        return source
    }

    private func answer(_ line: String, _ template: ChatTemplate) -> JSONValue {
        do {
            let request = try JSONValue(parsing: line)
            guard let messages = request["messages"] else { return ["error": "messages is missing"] }
            var input = ChatTemplate.Input(messages: messages)
            input.tools = request["tools"] ?? .null
            input.addsGenerationPrompt = request["add_generation_prompt"]?.bool ?? false
            input.bosToken = request["bos_token"]?.string
            input.eosToken = request["eos_token"]?.string
            input.variables = request["kwargs"]?.object ?? [:]
            return .string(try template.render(input))
        } catch {
            return ["error": .string("\(error)")]
        }
    }
}
