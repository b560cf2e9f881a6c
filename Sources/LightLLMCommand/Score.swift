import ArgumentParser
import Foundation
import Images
import JSON
import Layers
import LightLLM
import OrderedCollections
import Serving
import Tensors

/// Scores a prompt and continues it greedily, all in token ids; the way to check that a port computes what
/// the original does.
struct Score: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Print the log probabilities of a prompt given in token ids, and its greedy continuation.")

    @OptionGroup var model: ModelArguments

    @Option(name: .customLong("prompt_ids"), help: "Token ids, separated by commas.")
    var promptIDs: String

    @Option(
        name: .customLong("images"),
        help: "Image files, separated by commas, whose places the token ids hold.")
    var images: String?

    @Option(name: .customLong("max_new_tokens"), help: "How many tokens to generate.")
    var maxNewTokens = 0

    @Option(
        name: .customLong("kv_cache_dtype"),
        help: "How the cache stores keys and values: float32, float16, bfloat16 or int8.")
    var cacheType = "float32"

    @OptionGroup var quantization: QuantizationArguments

    @Flag(name: .customLong("logits"), help: "Also print the logits after the prompt.")
    var printsLogits = false

    func validate() throws {
        try require(
            CacheElement(name: cacheType) != nil, "kv_cache_dtype", "float32, float16, bfloat16 or int8",
            cacheType)
    }

    func run() async throws {
        let loaded = try LoadedModel(
            path: await localModel(model.modelDirectory), device: model.device, threads: model.threads,
            weightFormat: quantization.format(), images: images.map { _ in ImageOptions() })
        let stage = loaded.makeImageStage()
        let illustrated = try await illustrated(parsedPrompt(), stage)
        let prompt = illustrated.tokens
        var request = GenerationRequest(prompt: prompt, maxNewTokens: max(maxNewTokens, 1))
        request.images = illustrated.images
        (request.scoresPrompt, request.reportsLogits, request.ignoresEndTokens) = (true, true, true)
        var options = EngineOptions()
        options.cacheElement = CacheElement(name: cacheType)
        options.maxRequestTokens = prompt.count + request.maxNewTokens
        options.maxTotalTokens = options.maxRequestTokens
        let engine = try loaded.makeEngine(options)
        var scored: [ScoredToken] = [], generated: [ScoredToken] = [], logits: [Float] = []
        for await event in try engine.submit(request) {
            switch event {
            case .started: break
            case .prompt(let tokens): scored += tokens
            case .logits(let values): logits = values
            case .token(let token, _): generated.append(token)
            case .failed(let error): throw error
            }
        }
        print(report(scored, Array(generated.prefix(maxNewTokens)), logits).serialized)
    }

    private func illustrated(_ prompt: [Int32], _ stage: ImageStage?) async throws -> IllustratedPrompt {
        let files = (images ?? "").split(separator: ",").map(String.init)
        guard !files.isEmpty else {
            return try IllustratedPrompt(filling: prompt, with: [], ImageMarks(.tag(""), text: ""))
        }
        guard let stage else { throw RequestError.imagesNotTaken }
        let encoded = try files.map { try EncodedImage(Array(Data(contentsOf: URL(fileURLWithPath: $0)))) }
        return try IllustratedPrompt(
            filling: prompt, with: await stage.ready(encoded), stage.marks)
    }

    private func parsedPrompt() throws -> [Int32] {
        try promptIDs.split(separator: ",", omittingEmptySubsequences: false).map { word in
            guard let id = Int32(word.trimmingPrefix(" ")) else {
                throw ValidationError("--prompt_ids: expected token ids separated by commas, found '\(word)'")
            }
            return id
        }
    }

    private func report(_ prompt: [ScoredToken], _ generated: [ScoredToken], _ logits: [Float]) -> JSONValue {
        func number(_ value: Float?) -> JSONValue { value.map { .number(Double($0)) } ?? .null }
        var report: JSONValue.Members = [
            "prompt_logprobs": .array(prompt.map { number($0.logProbability) }),
            "token_ids": .array(generated.map { .integer(Int($0.token)) }),
            "token_logprobs": .array(generated.map { number($0.logProbability) }),
        ]
        if printsLogits { report["logits"] = .array(logits.map(number)) }
        return .object(report)
    }
}
