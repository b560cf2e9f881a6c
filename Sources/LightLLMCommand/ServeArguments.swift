import ArgumentParser
import Foundation
import LightLLM
import Scheduling
import Serving
import Tensors

/// LightLLM's flags for the model and its engine. `Flags` has those that mean nothing here.
struct ServeArguments: ParsableArguments {
    @Option(
        name: .customLong("model_dir"), help: "A Hugging Face folder, a GGUF file, or OWNER/NAME of a hub.")
    var modelDirectory: String

    @Option(name: .customLong("host"), help: "The address to listen on.")
    var host = "127.0.0.1"

    @Option(name: .customLong("port"), help: "The port to listen on.")
    var port = 8000

    @OptionGroup var ranks: RankArguments

    @Option(
        name: .customLong("max_total_token_num"),
        help: "Token slots of the cache; by default what memory holds.")
    var maxTotalTokens: Int?

    @Option(name: .customLong("mem_fraction"), help: "The part of the free memory to use.")
    var memoryFraction = 0.9

    @Option(name: .customLong("max_req_total_len"), help: "The most tokens of a request, prompt and answer.")
    var maxRequestTokens: Int?

    @Option(name: .customLong("eos_id"), parsing: .upToNextOption, help: "Tokens that end an answer.")
    var endTokens: [Int32] = []

    @Flag(
        name: .customLong("trust_remote_code"),
        help: "Accepted for compatibility; no code of a model ever runs.")
    var trustsRemoteCode = false

    @Option(
        name: .customLong("data_type"), help: "How the cache stores numbers: float32, float16 or bfloat16.")
    var dataType: String?

    @Option(
        name: .customLong("kv_cache_dtype"),
        help:
            "How the cache stores keys and values: auto (as --data_type says), float32, float16, bfloat16 or int8."
    )
    var cacheType = "auto"

    @OptionGroup var quantization: QuantizationArguments
    @OptionGroup var answers: AnswerArguments
    @OptionGroup var graphs: GraphArguments

    @Option(
        name: .customLong("mode"), parsing: .upToNextOption,
        help: "LightLLM's modes: triton_int8kv stores the cache as int8.")
    var modes: [String] = []

    @Option(name: .customLong("tokenizer_mode"), help: "Accepted for compatibility: auto, fast or slow.")
    var tokenizerMode = "auto"

    @Option(name: .customLong("running_max_req_size"), help: "Requests that run at the same time.")
    var runningRequests = 1000

    @Option(
        name: .customLong("batch_max_tokens"),
        help: "Tokens computed in one step, prompts and answers together.")
    var tokensPerStep = 512

    @Option(
        name: .customLong("router_policy"),
        help: "How many requests run at once: guaranteed, past-future, aggressive or conservative.")
    var policyName: PolicyName?

    @Flag(name: .customLong("future_past_scheduler"), help: "The same as --router_policy past-future.")
    var usesPastFuture = false

    @Option(
        name: .customLong("router_token_ratio"),
        help: "Above 0: expect short answers while less than this part of the cache is in use.")
    var tokenRatio = 0.0

    @Option(
        name: .customLong("router_max_new_token_len"),
        help: "How long answers are expected to be, with --router_token_ratio.")
    var expectedNewTokens = 1024

    @Option(
        name: .customLong("router_max_wait_tokens"),
        help: "Steps until the queue is looked at again after nothing in it could run.")
    var stepsBetweenLooks = 1

    @Option(
        name: .customLong("max_waiting_requests"), help: "Requests that may wait; more are refused with 429.")
    var waitingRequests = 16_384

    @Flag(
        name: .customLong("use_dynamic_prompt_cache"),
        help: "Keep what was computed of prompts for requests that begin alike; this is the default.")
    var usesPromptCache = false

    @Flag(
        name: [.customLong("disable_dynamic_prompt_cache"), .customLong("no_enable_prefix_caching")],
        help: "Compute every prompt anew.")
    var disablesPromptCache = false

    @Flag(
        name: .customLong("use_reward_model"),
        help: "The model scores texts (/get_score); others are refused.")
    var usesRewardModel = false

    @Option(
        name: .customLong("model_name"),
        help: "What the model is called in answers; by default after its file.")
    var modelName: String?

    @Option(
        name: .customLong("default_max_tokens"),
        help: "The most tokens of an answer whose request does not say.")
    var defaultMaxTokens = 4096

    @Option(
        name: .customLong("chat_template"),
        help: "A file whose chat template replaces the model's, or the template itself.")
    var chatTemplate: String?

    @Option(name: .customLong("device"), help: "Where the model computes: auto, cpu or cuda.")
    var device = DeviceChoice.auto

    @Option(name: .customLong("threads"), help: "Threads that compute; by default one per processor.")
    var threads: Int?

    @Option(
        name: .customLong("profile"),
        help: "A file to write a Chrome trace of the engine's steps to, for chrome://tracing or Perfetto.")
    var profile: String?

    func validate() throws {
        try require((0...65_535).contains(port), "port", "between 0 and 65535", port)
        try require(
            memoryFraction > 0 && memoryFraction < 1, "mem_fraction", "between 0 and 1", memoryFraction)
        let largest = Int(Int32.max)
        try require(
            (2...largest).contains(maxTotalTokens ?? 2), "max_total_token_num", "at least 2",
            maxTotalTokens ?? 0)
        try require(
            (2...largest).contains(maxRequestTokens ?? 2), "max_req_total_len", "at least 2",
            maxRequestTokens ?? 0)
        try require(
            (1...65_536).contains(runningRequests), "running_max_req_size", "between 1 and 65536",
            runningRequests)
        try require(
            (1...largest).contains(tokensPerStep), "batch_max_tokens", "at least 1", tokensPerStep)
        try require((0...1).contains(tokenRatio), "router_token_ratio", "between 0 and 1", tokenRatio)
        try require(
            (1...largest).contains(expectedNewTokens), "router_max_new_token_len", "at least 1",
            expectedNewTokens)
        try require(
            (1...largest).contains(stepsBetweenLooks), "router_max_wait_tokens", "at least 1",
            stepsBetweenLooks)
        try require(waitingRequests > 0, "max_waiting_requests", "at least 1", waitingRequests)
        if usesPromptCache, disablesPromptCache {
            throw ValidationError(
                "--use_dynamic_prompt_cache and --disable_dynamic_prompt_cache exclude each other")
        }
        try require(defaultMaxTokens > 0, "default_max_tokens", "at least 1", defaultMaxTokens)
        try require(threads ?? 1 > 0, "threads", "at least 1", threads ?? 0)
        let tokenizerModes = ["auto", "fast", "slow"]
        try require(
            tokenizerModes.contains(tokenizerMode), "tokenizer_mode", tokenizerModes.joined(separator: ", "),
            tokenizerMode)
        if let dataType {
            try require(
                CacheElement.floats[dataType] != nil, "data_type", "float32, float16 or bfloat16", dataType)
        }
        try require(
            cacheType == "auto" || CacheElement(name: cacheType) != nil, "kv_cache_dtype",
            "auto, float32, float16, bfloat16 or int8", cacheType)
        for mode in modes {
            try require(
                Self.modes.keys.contains(mode), "mode", Self.modes.keys.sorted().joined(separator: ", "), mode
            )
        }
    }

    /// LightLLM's modes and what they ask of the cache; its attention kernels are ours in every mode.
    private static let modes: [String: CacheElement?] = [
        "triton_int8kv": .int8, "ppl_int8kv": .int8, "ppl_int8kv_flashdecoding": .int8, "ppl_fp16": nil,
        "triton_flashdecoding": nil, "triton_gqa_attention": nil, "triton_gqa_flashdecoding": nil,
        "ppl_fp16_flashdecoding": nil,
    ]

    /// LightLLM wants steps as long as requests may be; here a longer prompt just takes several.
    private static let largestStep = 65_536

    private var cacheElement: CacheElement? {
        let ofMode = modes.lazy.compactMap { Self.modes[$0] ?? nil }.first
        return CacheElement(name: cacheType) ?? ofMode ?? dataType.flatMap { CacheElement(name: $0) }
    }

    var servedName: String {
        modelName ?? ModelSource(modelDirectory).modelName
    }

    /// The template in a file; or the text itself, if it is one.
    private static func template(_ text: String) throws -> String {
        if let data = FileManager.default.contents(atPath: text) {
            return String(decoding: data, as: UTF8.self)
        }
        guard text.contains("{") else { throw ValidationError("--chat_template: \(text): no such file") }
        return text
    }

    /// As in LightLLM a ratio above 0 asks for the aggressive policy.
    private var policy: any AdmissionPolicy {
        let name = policyName ?? (usesPastFuture ? .pastFuture : tokenRatio > 0 ? .aggressive : .guaranteed)
        return name.policy(ratio: tokenRatio > 0 ? tokenRatio : 0.99, newTokens: expectedNewTokens)
    }

    func options() throws -> TextOptions {
        var options = TextOptions()
        options.engine.maxTotalTokens = maxTotalTokens
        options.engine.memoryFraction = memoryFraction
        options.engine.maxRequestTokens = maxRequestTokens
        options.engine.limits = SchedulerLimits(
            runningSequences: runningRequests, tokensPerStep: min(tokensPerStep, Self.largestStep))
        options.engine.limits.stepsBetweenLooks = stepsBetweenLooks
        options.engine.limits.waitingSequences = waitingRequests
        options.engine.policy = policy
        options.engine.sharesPrefixes = !disablesPromptCache
        options.engine.cacheElement = cacheElement
        options.engine.weightFormat = try quantization.format()
        (options.engine.device, options.engine.threads) = (device, threads)
        options.engine.graphs = graphs.limits
        options.engine.trace = try profile.map { try StepTrace(path: $0) }
        answers.apply(to: &options)
        if !endTokens.isEmpty { options.endTokens = endTokens }
        options.chatTemplate = try chatTemplate.map(Self.template)
        return options
    }
}
