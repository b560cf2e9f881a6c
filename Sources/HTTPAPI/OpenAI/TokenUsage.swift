import JSON
import OrderedCollections

/// How many tokens an OpenAI answer took.
struct TokenUsage: Sendable {
    var prompt: Int
    /// Of the prompt's, those that were in the cache.
    var cached = 0
    var completion = 0
    /// Of the completion's, those that the model said to itself.
    var reasoning = 0

    var value: JSONValue {
        var result: JSONValue.Members = [
            "prompt_tokens_details": ["cached_tokens": .integer(cached)],
            "prompt_tokens": .integer(prompt), "completion_tokens": .integer(completion),
            "total_tokens": .integer(prompt + completion),
        ]
        if reasoning > 0 { result["completion_tokens_details"] = ["reasoning_tokens": .integer(reasoning)] }
        return .object(result)
    }
}

/// Whether a stream's events tell of usage (`stream_options`).
enum StreamedUsage: Sendable {
    case never
    /// An event of its own at the end.
    case last
    /// That, and every event what it was so far.
    case continuous

    var hasLast: Bool { if case .never = self { false } else { true } }

    /// What an event says of `usage`; nil when it does not mention it.
    func each(_ usage: TokenUsage) -> JSONValue? {
        switch self {
        case .never: nil
        case .last: .null
        case .continuous: usage.value
        }
    }

    init(_ options: JSONValue?) throws(APIError) {
        guard let options else {
            self = .never
            return
        }
        var fields = try RequestFields(options, path: "stream_options")
        let isContinuous = try fields.bool("continuous_usage_stats") ?? false
        let isReported = try fields.bool("include_usage") ?? false
        self = isReported ? (isContinuous ? .continuous : .last) : .never
    }
}
