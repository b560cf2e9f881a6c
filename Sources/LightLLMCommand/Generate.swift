import ArgumentParser
import Foundation
import LightLLM
import Serving
import TextGeneration

/// How answers are sampled on the terminal.
struct SamplingArguments: ParsableArguments {
    @Option(name: .customLong("max_new_tokens"), help: "The most tokens to generate.")
    var maxNewTokens = 512

    @Option(name: .customLong("temperature"), help: "0 takes the likeliest token; higher is more varied.")
    var temperature: Float = 0

    @Option(
        name: .customLong("top_p"), help: "Sample among the likeliest tokens with this probability together.")
    var topP: Float = 1

    @Option(name: .customLong("top_k"), help: "Sample among this many of the likeliest tokens; -1 for all.")
    var topK = -1

    @Option(
        name: .customLong("repetition_penalty"), help: "Above 1 makes tokens of the answer less likely again."
    )
    var repetitionPenalty: Float = 1

    @Option(name: .customLong("seed"), help: "The same seed gives the same answer.")
    var seed: UInt64?

    func validate() throws {
        if maxNewTokens < 1 {
            throw ValidationError("--max_new_tokens must be at least 1, found \(maxNewTokens)")
        }
        if temperature < 0 {
            throw ValidationError("--temperature must not be negative, found \(temperature)")
        }
        if !(topP > 0 && topP <= 1) { throw ValidationError("--top_p must be in (0, 1], found \(topP)") }
        if topK == 0 || topK < -1 { throw ValidationError("--top_k must be -1 or at least 1, found \(topK)") }
        if repetitionPenalty < 1 {
            throw ValidationError("--repetition_penalty must be at least 1, found \(repetitionPenalty)")
        }
    }

    var parameters: SamplingParameters {
        var result = SamplingParameters()
        result.temperature = temperature > 1e-5 ? temperature : nil
        (result.topP, result.topK) = (topP, topK > 0 ? topK : nil)
        (result.repetitionPenalty, result.seed) = (repetitionPenalty, seed)
        return result
    }
}

/// Writes without a line's end, at once.
func write(_ text: String, to file: FileHandle = .standardOutput) {
    file.write(Data(text.utf8))
}

extension TextGenerator {
    /// Prints an answer as it comes and returns it.
    func printAnswer(_ request: TextRequest) async throws -> String {
        var answer = ""
        for await case .chunk(let chunk) in try generate(request) {
            answer += chunk.text
            write(chunk.text)
        }
        write("\n")
        return answer
    }
}

struct Generate: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Continue a text on the terminal.")

    @OptionGroup var model: ModelArguments
    @OptionGroup var sampling: SamplingArguments

    @Option(name: .customLong("prompt"), help: "The text to continue; by default what standard input holds.")
    var prompt: String?

    func run() async throws {
        let text =
            try prompt ?? String(decoding: FileHandle.standardInput.readToEnd() ?? Data(), as: UTF8.self)
        let generator = try await model.load().generator
        let promptTokens = try generator.tokens(of: .text(text))
        var request = TextRequest(prompt: .tokens(promptTokens), maxNewTokens: sampling.maxNewTokens)
        request.maxNewTokens = min(
            request.maxNewTokens, max(1, generator.engine.configuration.maxRequestTokens - promptTokens.count)
        )
        request.sampling = sampling.parameters
        request.detokenization.continuesText = true
        write(text)
        _ = try await generator.printAnswer(request)
    }
}
