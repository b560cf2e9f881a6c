import ArgumentParser
import ChatTemplates
import Foundation
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

    func run() async throws {
        let generator = try await model.load().generator
        var messages: [JSONValue] = system.map { [message("system", $0)] } ?? []
        while let line = nextLine() {
            guard !line.isEmpty else { continue }
            messages.append(message("user", line))
            var input = ChatTemplate.Input(messages: .array(messages))
            input.addsGenerationPrompt = true
            let tokens = try generator.tokens(of: generator.prompt(input))
            let room = generator.engine.configuration.longestRequest - tokens.count
            guard room >= 1 else {
                print("The conversation is longer than the model's context; start again.")
                return
            }
            var request = TextRequest(prompt: .tokens(tokens), maxNewTokens: min(sampling.maxNewTokens, room))
            request.sampling = sampling.parameters
            messages.append(message("assistant", try await generator.printAnswer(request)))
        }
    }

    private func nextLine() -> String? {
        write("> ")
        return readLine()
    }

    private func message(_ role: String, _ content: String) -> JSONValue {
        ["role": .string(role), "content": .string(content)]
    }
}
