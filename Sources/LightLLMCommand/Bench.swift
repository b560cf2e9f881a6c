import ArgumentParser
import Foundation
import LightLLM
import Serving

/// Measures how fast a model reads prompts and generates, alone and in a batch.
struct Bench: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Measure how fast a model runs on this machine.")

    @OptionGroup var model: ModelArguments

    @Option(name: .customLong("prompt_tokens"), help: "Tokens of the prompts.")
    var promptTokens = 512

    @Option(name: .customLong("new_tokens"), help: "Tokens of the answers.")
    var newTokens = 64

    @Option(name: .customLong("batch"), help: "Requests that run together in the last measurement.")
    var batch = 16

    @Option(name: .customLong("temperature"), help: "Above 0 measures sampling as well.")
    var temperature: Float = 0

    @Option(name: .customLong("repetitions"), help: "Measurements, of which the median is reported.")
    var repetitions = 5

    func validate() throws {
        for (flag, value) in [
            ("prompt_tokens", promptTokens), ("new_tokens", newTokens), ("batch", batch),
            ("repetitions", repetitions),
        ] where !(1...100_000).contains(value) {
            throw ValidationError("--\(flag) must be between 1 and 100000, found \(value)")
        }
    }

    func run() async throws {
        let loaded = try LoadedModel(path: model.modelDirectory, threads: model.threads)
        var options = EngineOptions()
        options.maxRequestTokens = promptTokens + newTokens
        options.maxTotalTokens = (promptTokens + newTokens) * batch
        let engine = try loaded.makeEngine(options)
        try await report("prompt", tokens: promptTokens) {
            try await generate(engine, prompt: promptTokens, new: 1, requests: 1)
        }
        try await report("generation", tokens: newTokens) {
            try await generate(engine, prompt: 1, new: newTokens, requests: 1)
        }
        try await report("generation, \(batch) requests", tokens: newTokens * batch) {
            try await generate(engine, prompt: 1, new: newTokens, requests: batch)
        }
    }

    private func report(_ name: String, tokens: Int, _ body: () async throws -> Void) async throws {
        var seconds: [Double] = []
        for _ in 0..<repetitions {
            seconds.append(try await ContinuousClock().measure(body) / .seconds(1))
        }
        let rates = seconds.map { Double(tokens) / $0 }.sorted()
        let median = rates[rates.count / 2]
        print(
            "\(name): \(String(format: "%.1f", median)) tokens/s (median of \(repetitions), "
                + "\(String(format: "%.1f to %.1f", rates[0], rates[rates.count - 1])))")
    }

    private func generate(_ engine: Engine, prompt: Int, new: Int, requests: Int) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<requests {
                let tokens = (0..<prompt).map { Int32(($0 * 7919 + number * 31 + 1) % engine.vocabularySize) }
                var request = GenerationRequest(prompt: tokens, maxNewTokens: new)
                request.ignoresEndTokens = true
                request.sampling.temperature = temperature > 0 ? temperature : nil
                let stream = try engine.submit(request)
                group.addTask { for await _ in stream {} }
            }
            try await group.waitForAll()
        }
    }
}
