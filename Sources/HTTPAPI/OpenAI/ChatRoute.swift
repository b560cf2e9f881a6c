import ChatTemplates
import Foundation
import Hummingbird
import JSON
import OrderedCollections
import Serving
import TextGeneration
import Tokenizers

extension Server {
    func addOpenAIRoutes(_ router: Router<ServerContext>) {
        router.post("/v1/chat/completions", use: answering(native: false, chat))
        router.post("/v1/completions", use: answering(native: false, complete))
        router.get("/v1/models") { _, _ in Response.json(["object": "list", "data": [model]]) }
        router.get("/v1/models/:id") { _, context in
            guard context.parameters.get("id") == configuration.modelName else {
                let error = APIError.invalid(
                    "no such model; this server runs '\(configuration.modelName)'", parameter: "model")
                return Response.json(error.body(native: false), status: .notFound)
            }
            return Response.json(model)
        }
    }

    private var model: JSONValue {
        [
            "id": .string(configuration.modelName), "object": "model",
            "created": .integer(Int(metrics.startTime)),
            "owned_by": "lightllm",
            "max_model_len": .integer(generator.engine.configuration.longestRequest),
        ]
    }

    private func chat(_ body: JSONValue, _ context: ServerContext) async throws -> Response {
        var fields = try RequestFields(body)
        for field in [
            "functions", "tools", "audio", "prediction", "web_search_options", "guided_json", "guided_regex",
        ] {
            try fields.refuse(field) { $0.isNothing }
        }
        try fields.refuse("function_call") { $0.string == "none" }
        try fields.refuse("tool_choice") { $0.string == "none" || $0.string == "auto" }
        try fields.refuse("response_format") { $0["type"]?.string == "text" }
        try fields.refuse("modalities") { $0 == ["text"] }
        for field in ["parallel_tool_calls", "reasoning_effort", "verbosity"] {
            try fields.refuse(field) { $0.isNothing || $0.bool != nil }
        }
        let parameters = try OpenAIParameters(&fields, generator)
        let reportsLogProbabilities = try fields.bool("logprobs") ?? false
        let top = try fields.int("top_logprobs", in: 0...20) ?? 0
        guard reportsLogProbabilities || top == 0 else {
            throw APIError.invalid("top_logprobs needs logprobs to be true", parameter: "top_logprobs")
        }
        let tokens = try generator.tokens(of: generator.prompt(try conversation(&fields)))
        var request = try parameters.textRequest(
            tokens, generator, defaultMaxTokens: configuration.defaultMaxTokens)
        request.topLogProbabilities = top
        let streams = try start(Self.repeated(request, count: parameters.count), context)
        let reply = ChatReply(
            model: parameters.model ?? configuration.modelName, promptCount: streams[0].promptTokens.count,
            reportsLogProbabilities: reportsLogProbabilities, generator: generator)
        guard parameters.streams else {
            return .json(reply.completion(try await collect(streams)), ignored: fields.ignored)
        }
        return .events(prefix: "data: ", ignored: fields.ignored) { events in
            try await reply.stream(
                merged(streams), count: streams.count, usage: parameters.reportsUsage, to: &events)
        }
    }

    /// What a request sets by fields of their own, or not at all.
    private static let reservedVariables = [
        "messages", "tools", "documents", "add_generation_prompt", "bos_token", "eos_token",
    ]

    /// The conversation for the template: texts in parts are joined, other parts refused.
    private func conversation(_ fields: inout RequestFields) throws(APIError) -> ChatTemplate.Input {
        guard let value = fields.value("messages") else {
            throw .invalid("messages is missing", parameter: "messages")
        }
        guard let list = value.array else { throw fields.wrong("messages", "a list", value) }
        guard !list.isEmpty else { throw .invalid("messages is empty", parameter: "messages") }
        var messages: [JSONValue] = []
        for (index, message) in list.enumerated() {
            messages.append(try Self.plain(message, "messages[\(index)]"))
        }
        var input = ChatTemplate.Input(messages: .array(messages))
        input.addsGenerationPrompt = try fields.bool("add_generation_prompt") ?? true
        if let variables = fields.value("chat_template_kwargs") {
            guard let members = variables.object else {
                throw fields.wrong("chat_template_kwargs", "an object", variables)
            }
            for reserved in Self.reservedVariables where members[JSONKey(reserved)] != nil {
                throw .invalid(
                    "chat_template_kwargs may not set \(reserved)", parameter: "chat_template_kwargs")
            }
            input.variables = members
        }
        try fields.refuse("continue_final_message") { $0.isNothing }
        try fields.refuse("chat_template")
        return input
    }

    private static func plain(_ message: JSONValue, _ path: String) throws(APIError) -> JSONValue {
        guard case .object(var members) = message, members["role"]?.string != nil else {
            throw .invalid("\(path) must be an object with a role", parameter: "messages")
        }
        switch members["content"] {
        case nil, .null?, .string?: break
        case .array(let parts)?:
            var texts: [String] = []
            for part in parts {
                guard part["type"]?.string == "text", let text = part["text"]?.string else {
                    throw .invalid(
                        "\(path).content: parts of type '\(part["type"]?.string ?? "none")' are not supported; this model reads text",
                        parameter: "messages")
                }
                texts.append(text)
            }
            members["content"] = .string(texts.joined(separator: "\n"))
        case let other?:
            throw .invalid(
                "\(path).content must be a string or a list of parts, found \(other.kind)",
                parameter: "messages")
        }
        return .object(members)
    }
}

/// The shapes of a chat answer.
private struct ChatReply: Sendable {
    let id = "chatcmpl-" + UUID().uuidString.lowercased().replacing("-", with: "")
    let created = Int(Date().timeIntervalSince1970)
    let model: String
    let promptCount: Int
    let reportsLogProbabilities: Bool
    let generator: TextGenerator

    private func object(_ kind: String, _ choices: [JSONValue]) -> JSONValue.Members {
        [
            "id": .string(id), "object": .string(kind), "created": .integer(created), "model": .string(model),
            "choices": .array(choices),
        ]
    }

    func completion(_ answers: [Answer]) -> JSONValue {
        var result = object(
            "chat.completion",
            answers.enumerated().map { index, answer in
                [
                    "index": .integer(index),
                    "message": ["role": "assistant", "content": .string(answer.text)],
                    "logprobs": logProbabilities(answer.chunks),
                    "finish_reason": .string(answer.finish?.rawValue ?? "stop"),
                ]
            })
        result["usage"] = OpenAIParameters.usage(
            prompt: promptCount, cached: answers.first?.cachedTokens ?? 0,
            completion: answers.reduce(0) { $0 + $1.chunks.count })
        return .object(result)
    }

    func stream(
        _ merged: AsyncThrowingStream<(Int, TextEvent), any Error>, count: Int, usage: Bool,
        to events: inout EventWriter
    ) async throws {
        func chunk(_ index: Int, _ delta: JSONValue, _ logprobs: JSONValue, _ finish: FinishReason?)
            -> JSONValue
        {
            var result = object(
                "chat.completion.chunk",
                [
                    [
                        "index": .integer(index), "delta": delta, "logprobs": logprobs,
                        "finish_reason": finish.map { .string($0.rawValue) } ?? .null,
                    ]
                ])
            if usage { result["usage"] = nil as JSONValue }
            return .object(result)
        }
        for index in 0..<count {
            try await events.send(chunk(index, ["role": "assistant", "content": ""], nil, nil))
        }
        var (completion, cached) = (0, 0)
        for try await (index, event) in merged {
            if case .started(let count) = event, index == 0 { cached = count }
            guard case .chunk(let part) = event else { continue }
            completion += 1
            guard !part.text.isEmpty || part.finish != nil || reportsLogProbabilities else { continue }
            let delta: JSONValue = part.text.isEmpty ? [:] : ["content": .string(part.text)]
            try await events.send(chunk(index, delta, logProbabilities([part]), part.finish))
        }
        if usage {
            var last = object("chat.completion.chunk", [])
            last["usage"] = OpenAIParameters.usage(
                prompt: promptCount, cached: cached, completion: completion)
            try await events.send(.object(last))
        }
        try await events.sendDone()
    }

    private func logProbabilities(_ chunks: [TextChunk]) -> JSONValue {
        guard reportsLogProbabilities else { return nil }
        func entry(_ token: Int32, _ logProbability: Float) -> JSONValue.Members {
            let bytes = generator.tokenizer.bytes(of: token)
            return [
                "token": .string(String(decoding: bytes, as: UTF8.self)),
                "logprob": JSONValue(logProbability),
                "bytes": .array(bytes.map { .integer(Int($0)) }),
            ]
        }
        return [
            "content": .array(
                chunks.map { chunk in
                    var result = entry(chunk.token.token, chunk.token.logProbability ?? 0)
                    result["top_logprobs"] = .array(
                        chunk.token.top.map { .object(entry($0.token, $0.logProbability)) })
                    return .object(result)
                })
        ]
    }
}
