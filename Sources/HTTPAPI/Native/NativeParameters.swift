import JSON
import OrderedCollections
import Serving
import TextGeneration

/// The `parameters` of `/generate` and `/generate_stream`, under LightLLM's names and with its defaults.
struct NativeParameters {
    let count: Int
    let returnsDetails: Bool
    private let request: TextRequest
    private let addsSpecialTokens: Bool
    private let parsesSpecialTokens: Bool
    /// What answers must be like.
    let form: CompiledForm

    private static let unsupported = [
        "move_kv_to_decode_node", "image_max_patch_num", "prompt_embeds", "prompt_bin",
    ]

    init(
        _ fields: inout RequestFields, _ generator: TextGenerator, _ options: NativeOptions
    ) throws(APIError) {
        for field in Self.unsupported { try fields.refuse(field) { $0.isNothing || $0.int == -1 } }
        // LightLLM replaces the one by its own, and has a use for the other with several copies of a model only.
        for field in ["group_request_id", "suggested_dp_index"] { _ = try fields.int(field) }
        returnsDetails = try fields.bool("return_details") ?? false
        count = try Self.count(&fields)
        addsSpecialTokens = try fields.bool("add_special_tokens") ?? true
        parsesSpecialTokens = try fields.bool("parse_special_tokens") ?? true
        let most = try fields.int("max_new_tokens") ?? 16
        guard most >= 1 else {
            throw .invalid("max_new_tokens must be at least 1 , got \(most).", parameter: "max_new_tokens")
        }
        var request = TextRequest(prompt: .tokens([]), maxNewTokens: most)
        request.sampling = try Self.sampling(
            &fields, generator.standardSampling, maxNewTokens: most)
        request.ignoresEndTokens = try fields.bool("ignore_eos") ?? false
        request.keepsStopText = true
        try fields.readTerms(into: &request)
        try Self.readStops(&fields, into: &request)
        request.detokenization.skipsSpecialTokens =
            try fields.bool("skip_special_tokens") ?? options.skipsSpecialTokens
        request.detokenization.spacesAroundSpecialTokens =
            try fields.bool("add_spaces_between_special_tokens") ?? true
        request.detokenization.showsEndToken = try fields.bool("print_eos_token") ?? false
        form = try APIError.typed { try AnswerForm(native: &fields).compiled(generator) }
        form.apply(to: &request)
        self.request = request
    }

    /// The request for a prompt: a string, or a list of token ids that is used as it is.
    func textRequest(inputs: JSONValue?) throws(APIError) -> TextRequest {
        var request = request
        switch inputs {
        case .string(let text)?:
            request.prompt = .text(
                text, addsSpecialTokens: addsSpecialTokens, parsesSpecialTokens: parsesSpecialTokens)
        case .array(let items)?:
            guard let tokens = items.allTokens else {
                throw .invalid("inputs must be a string or a list of token ids", parameter: "inputs")
            }
            request.prompt = .tokens(tokens)
        case nil, .null?: throw .invalid("inputs is missing", parameter: "inputs")
        case let other?:
            throw .invalid(
                "inputs must be a string or a list of token ids, found \(other.kind)", parameter: "inputs")
        }
        return request
    }

    private static func count(_ fields: inout RequestFields) throws(APIError) -> Int {
        let best = try fields.int("best_of") ?? 1
        guard (1...8).contains(best) else {
            throw .invalid("need 0 < best_of <= 8, but get \(best)", parameter: "best_of")
        }
        guard try fields.int("n") ?? best == best else {
            throw .invalid("current only supported n == best_of", parameter: "n")
        }
        return best
    }

    private static func sampling(
        _ fields: inout RequestFields, _ standard: SamplingParameters, maxNewTokens: Int
    ) throws(APIError) -> SamplingParameters {
        var result = SamplingParameters()
        let samples = try fields.bool("do_sample") ?? (standard.temperature != nil)
        let temperature = try fields.float("temperature") ?? standard.temperature ?? 1
        let topP = try fields.float("top_p") ?? standard.topP
        let topK = try fields.int("top_k") ?? standard.topK ?? -1
        // Without sampling these have no say, so what they are does not matter either.
        if samples {
            guard temperature >= 0 else {
                throw .invalid("temperature must > 0.0, got \(temperature)", parameter: "temperature")
            }
            guard topP > 0, topP <= 1 else {
                throw .invalid("top_p must in (0.0, 1.0], got \(topP)", parameter: "top_p")
            }
            guard topK == -1 || topK >= 1 else {
                throw .invalid("top_k must be -1 (disable), or at least 1, got \(topK).", parameter: "top_k")
            }
            result.temperature = temperature < 1e-5 ? nil : temperature
            (result.topP, result.topK) = (topP, topK == -1 ? nil : topK)
            result.minP = try fields.float("min_p", in: 0...1) ?? standard.minP
        }
        result.presencePenalty = try atLeast(0, "presence_penalty", &fields) ?? standard.presencePenalty
        result.frequencyPenalty = try atLeast(0, "frequency_penalty", &fields) ?? standard.frequencyPenalty
        result.repetitionPenalty = try atLeast(1, "repetition_penalty", &fields) ?? standard.repetitionPenalty
        result.penalizesPrompt = try fields.bool("input_penalty") ?? standard.penalizesPrompt
        result.lengthPenalty = try lengthPenalty(&fields)
        result.minNewTokens = try fields.int("min_new_tokens", in: 1...maxNewTokens) ?? 1
        result.seed = try fields.int("seed").map { UInt64(bitPattern: Int64($0)) }
        result.logitBias = try logitBias(&fields)
        return result
    }

    private static func atLeast(
        _ least: Float, _ field: String, _ fields: inout RequestFields
    ) throws(APIError) -> Float? {
        guard let value = try fields.float(field) else { return nil }
        guard value >= least else {
            throw .invalid("\(field) must >= \(least), got \(value)", parameter: field)
        }
        return value
    }

    private static func lengthPenalty(_ fields: inout RequestFields) throws(APIError) -> SamplingParameters
        .LengthPenalty?
    {
        let field = "exponential_decay_length_penalty"
        guard let value = fields.value(field) else { return nil }
        guard let pair = value.array, pair.count == 2, let start = pair[0].int, let factor = pair[1].double,
            start >= 0, factor >= 1, Float(factor).isFinite
        else { throw .invalid("\(field) must be [an integer >= 0, a number >= 1.0]", parameter: field) }
        return factor == 1 ? nil : SamplingParameters.LengthPenalty(start: start, factor: Float(factor))
    }

    private static func readStops(_ fields: inout RequestFields, into request: inout TextRequest)
        throws(APIError)
    {
        let field = "stop_sequences"
        guard let value = fields.value(field) else { return }
        if let texts = value.string.map({ [$0] }) ?? value.array?.allStrings {
            request.stopTexts = texts.filter { !$0.isEmpty }
            return try OpenAIParameters.limit(request.stopTexts.map(\.utf8.count), field)
        }
        let lists = value.array?.compactMap { $0.array?.allTokens } ?? []
        guard let items = value.array, lists.count == items.count else {
            throw .invalid(
                "stop_sequences only support str, list[str], list[list[int]] type", parameter: field)
        }
        request.stopTokens = lists
        try OpenAIParameters.limit(lists.map(\.count), field)
    }
}

/// `logit_bias`: an object from token ids to numbers between -100 and 100.
func logitBias(_ fields: inout RequestFields) throws(APIError) -> [Int32: Float] {
    guard let value = fields.value("logit_bias") else { return [:] }
    guard let members = value.object else { throw fields.wrong("logit_bias", "an object", value) }
    guard members.count <= 1024 else {
        throw .invalid("logit_bias may hold 1024 tokens at most", parameter: "logit_bias")
    }
    var result: [Int32: Float] = [:]
    for (key, bias) in members {
        guard let token = Int32(key.string), token >= 0, let number = bias.double, abs(number) <= 100 else {
            throw .invalid(
                "logit_bias must map token ids to numbers from -100 to 100", parameter: "logit_bias")
        }
        result[token] = Float(number)
    }
    return result
}
