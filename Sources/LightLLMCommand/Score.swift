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

    @Option(
        name: .customLong("prompt_ids"), help: "Token ids, separated by commas; may be given several times.")
    var promptIDs: [String]

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

    @OptionGroup var ranks: RankArguments
    @OptionGroup var quantization: QuantizationArguments

    @Flag(name: .customLong("logits"), help: "Also print the logits after the prompt.")
    var printsLogits = false

    func validate() throws {
        try require(
            CacheElement(name: cacheType) != nil, "kv_cache_dtype", "float32, float16, bfloat16 or int8",
            cacheType)
        try require(!promptIDs.isEmpty, "prompt_ids", "given", "nothing")
        try require(
            images == nil || promptIDs.count == 1, "prompt_ids", "given once with --images",
            "\(promptIDs.count) times")
    }

    func run() async throws {
        let ranks = try RankProcess.join(ranks)
        ranks?.endWithGroup()
        let path = try await localModel(model.modelDirectory)
        var options = EngineOptions()
        (options.device, options.threads) = (model.device, model.threads ?? ranks?.threads)
        options.weightFormat = try quantization.format()
        options.cacheElement = CacheElement(name: cacheType)
        // The others' caches are no larger than that of the one who knows how many tokens images become.
        if let ranks, ranks.isFollower { return try ranks.follow(path, options) }
        let loaded = try LoadedModel(
            path: path, device: options.device, threads: options.threads, weightFormat: options.weightFormat,
            images: images.map { _ in ImageOptions() }, group: ranks?.group)
        let stage = loaded.makeImageStage()
        var requests: [GenerationRequest] = []
        for text in promptIDs { requests.append(try await request(text, stage)) }
        options.maxRequestTokens = requests.map { $0.prompt.count + $0.maxNewTokens }.max()
        options.maxTotalTokens = options.maxRequestTokens
        let engine = try loaded.makeEngine(options)
        for var request in requests {
            // A model that scores texts says nothing of their tokens.
            if engine.scoresTexts { (request.scoresPrompt, request.maxNewTokens) = (false, 1) }
            try await score(request, on: engine)
        }
        try await ranks?.leave(engine)
    }

    private func request(_ text: String, _ stage: ImageStage?) async throws -> GenerationRequest {
        let illustrated = try await illustrated(parsed(text), stage)
        var request = GenerationRequest(prompt: illustrated.tokens, maxNewTokens: max(maxNewTokens, 1))
        request.images = illustrated.images
        (request.scoresPrompt, request.reportsLogits, request.ignoresEndTokens) = (true, true, true)
        return request
    }

    private func score(_ request: GenerationRequest, on engine: Engine) async throws {
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
        generated = engine.scoresTexts ? [] : Array(generated.prefix(maxNewTokens))
        print(report(scored, generated, logits).serialized)
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

    private func parsed(_ text: String) throws -> [Int32] {
        try text.split(separator: ",", omittingEmptySubsequences: false).map { word in
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
