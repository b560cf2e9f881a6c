import ArgumentParser
import ChatTemplates
import Foundation
import Images
import JSON
import LightLLM
import OrderedCollections
import Serving
import TextGeneration

struct Chat: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Talk to a model on the terminal.")

    @OptionGroup var model: ModelArguments
    @OptionGroup var sampling: SamplingArguments

    @Option(name: .customLong("system"), help: "What the model is told before the conversation.")
    var system: String?

    @Option(name: .customLong("image"), help: "An image file that the first line is about; may be repeated.")
    var images: [String] = []

    func run() async throws {
        let generator = try await model.load(images: images.isEmpty ? nil : ImageOptions()).generator
        let ready = try await generator.ready(files: images)
        var messages: [JSONValue] = system.map { [message("system", $0)] } ?? []
        while let line = nextLine() {
            guard !line.isEmpty else { continue }
            let isFirst = !messages.contains { $0["role"] == "user" }
            messages.append(isFirst ? question(line) : message("user", line))
            var input = ChatTemplate.Input(messages: .array(messages))
            input.addsGenerationPrompt = true
            let prompt = try generator.illustrated(generator.prompt(input), with: ready)
            let room = generator.engine.configuration.longestRequest - prompt.tokens.count
            guard room >= 1 else {
                print("The conversation is longer than the model's context; start again.")
                return
            }
            var request = TextRequest(
                prompt: .tokens(prompt.tokens), maxNewTokens: min(sampling.maxNewTokens, room))
            request.images = prompt.images
            request.sampling = sampling.parameters
            messages.append(message("assistant", try await generator.printAnswer(request)))
        }
    }

    private func nextLine() -> String? {
        write("> ")
        return readLine()
    }

    /// The first line, after the images.
    private func question(_ line: String) -> JSONValue {
        guard !images.isEmpty else { return message("user", line) }
        let text: JSONValue = ["type": "text", "text": .string(line)]
        return ["role": "user", "content": .array(images.map { _ in ["type": "image"] } + [text])]
    }

    private func message(_ role: String, _ content: String) -> JSONValue {
        ["role": .string(role), "content": .string(content)]
    }
}

extension TextGenerator {
    /// The images in files, in order.
    func ready(files: [String]) async throws -> [ReadyImage] {
        guard !files.isEmpty else { return [] }
        return try await ready(
            files.map { try EncodedImage(Array(Data(contentsOf: URL(fileURLWithPath: $0)))) })
    }
}
