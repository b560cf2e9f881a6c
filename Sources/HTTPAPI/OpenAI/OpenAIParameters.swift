import JSON
import Serving
import TextGeneration

/// What OpenAI's chat and completion requests have in common.
struct OpenAIParameters {
    let model: String?
    let count: Int
    /// What a stream tells of usage; nil when the answer is to come in one piece.
    let streamedUsage: StreamedUsage?
    /// Nil when the request does not say.
    let maxTokens: Int?
    private let request: TextRequest

    /// Fields of other servers that change answers and have no counterpart here.
    private static let unsupported = [
        "bad_words", "prompt_logprobs", "typical_p", "use_beam_search", "length_penalty", "early_stopping",
        "mirostat", "dry_multiplier", "xtc_probability", "dynatemp_range", "prompt_embeds", "prompt_bin",
        "lora_path",
        "logits_processors", "return_token_ids", "return_tokens_as_token_ids", "reasoning_budget",
        "thinking_token_budget",
    ]

    init(_ fields: inout RequestFields, _ generator: TextGenerator) throws(APIError) {
        model = try fields.string("model")
        count = try fields.int("n", in: 1...32) ?? 1
        let usage = try StreamedUsage(fields.value("stream_options"))
        streamedUsage = try fields.bool("stream") ?? false ? usage : nil
        let longer = try fields.int("max_completion_tokens", in: 0...Int.max)
        let shorter = try fields.int("max_tokens", in: 0...Int.max)
        maxTokens = longer ?? shorter
        for field in ["user", "store", "metadata", "service_tier", "prompt_cache_key", "safety_identifier"] {
            _ = fields.value(field)
        }
        for field in Self.unsupported { try fields.refuse(field) { $0.isNothing || $0.double == 1 } }
        var request = TextRequest(prompt: .tokens([]), maxNewTokens: 1)
        request.sampling = try Self.sampling(&fields, generator.standardSampling)
        request.ignoresEndTokens = try fields.bool("ignore_eos") ?? false
        request.stopTexts = (try fields.strings("stop") ?? []).filter { !$0.isEmpty }
        try Self.limit(request.stopTexts.map(\.utf8.count), "stop")
        if let value = fields.value("stop_token_ids") {
            guard let tokens = value.array?.allTokens else {
                throw fields.wrong("stop_token_ids", "a list of token ids", value)
            }
            request.stopTokens = tokens.map { [$0] }
            try Self.limit(tokens.map { _ in 1 }, "stop_token_ids")
        }
        request.keepsStopText = try fields.bool("include_stop_str_in_output") ?? false
        request.detokenization.skipsSpecialTokens = try fields.bool("skip_special_tokens") ?? true
        try fields.readTerms(into: &request)
        request.keptPrompt = try fields.keptPrompt(most: generator.engine.configuration.longestRequest)
        self.request = request
    }

    /// Stops are looked for after every token, so there may not be many, nor long ones.
    static func limit(_ lengths: [Int], _ field: String) throws(APIError) {
        guard lengths.count <= 64, lengths.allSatisfy({ $0 <= 1024 }) else {
            throw .invalid("\(field) may hold 64 entries of 1024 bytes or tokens at most", parameter: field)
        }
    }

    private static func sampling(
        _ fields: inout RequestFields, _ standard: SamplingParameters
    ) throws(APIError) -> SamplingParameters {
        var result = SamplingParameters()
        let temperature = try fields.float("temperature", in: 0...100) ?? standard.temperature ?? 1
        let samples = try fields.bool("do_sample") ?? true
        result.temperature = samples && temperature >= 1e-5 ? temperature : nil
        result.topP = try fields.float("top_p", in: 0...1) ?? standard.topP
        guard result.topP > 0 else { throw .invalid("top_p must be above 0", parameter: "top_p") }
        let topK = try fields.int("top_k", in: -1...Int.max) ?? -1
        result.topK = topK > 0 ? topK : nil
        result.minP = try fields.float("min_p", in: 0...1) ?? standard.minP
        result.presencePenalty = try fields.float("presence_penalty", in: -2...2) ?? 0
        result.frequencyPenalty = try fields.float("frequency_penalty", in: -2...2) ?? 0
        result.repetitionPenalty =
            try fields.float("repetition_penalty", in: 0.01...100) ?? standard.repetitionPenalty
        result.minNewTokens = try fields.int("min_tokens", in: 0...Int.max) ?? 1
        result.penalizesPrompt = standard.penalizesPrompt
        result.seed = try fields.int("seed").map { UInt64(bitPattern: Int64($0)) }
        result.logitBias = try logitBias(&fields)
        return result
    }

    /// The request for one prompt. Without a length it may take what the context has left, up to
    /// `defaultMaxTokens`.
    func textRequest(
        _ tokens: [Int32], _ generator: TextGenerator, defaultMaxTokens: Int
    ) throws(APIError) -> TextRequest {
        var request = request
        request.prompt = .tokens(tokens)
        request.maxNewTokens =
            maxTokens
            ?? generator.truncation.newTokens(
                promptCount: tokens.count, most: generator.engine.configuration.longestRequest,
                standard: defaultMaxTokens, keeping: request.keptPrompt)
        return request
    }
}
