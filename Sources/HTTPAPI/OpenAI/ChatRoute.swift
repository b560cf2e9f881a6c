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
        router.post("/v1/chat/completions", use: answering(style: .openAI, chat))
        router.post("/v1/completions", use: answering(style: .openAI, complete))
        router.get("/v1/models") { _, _ in Response.json(["object": "list", "data": [model]]) }
        router.get("/v1/models/:id") { _, context in
            guard context.parameters.get("id") == configuration.modelName else {
                let error = APIError.invalid(
                    "no such model; this server runs '\(configuration.modelName)'", parameter: "model")
                return Response.json(error.body(.openAI), status: .notFound)
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
        for field in ["functions", "audio", "prediction", "web_search_options"] {
            try fields.refuse(field) { $0.isNothing }
        }
        try fields.refuse("function_call") { $0.string == "none" }
        try fields.refuse("modalities") { $0 == ["text"] }
        try fields.refuse("verbosity") { $0.isNothing }
        let parameters = try OpenAIParameters(&fields, generator)
        let reportsLogProbabilities = try fields.bool("logprobs") ?? false
        let top = try fields.int("top_logprobs", in: 0...20) ?? 0
        guard reportsLogProbabilities || top == 0 else {
            throw APIError.invalid("top_logprobs needs logprobs to be true", parameter: "top_logprobs")
        }
        let asked = try turn(&fields)
        let turn = try asked.prepared(generator, await ready(asked.images, context)) { tokens in
            var request = try parameters.textRequest(
                tokens, generator, defaultMaxTokens: configuration.defaultMaxTokens)
            request.topLogProbabilities = top
            return request
        }
        let streams = try start(Self.repeated(turn.request, count: parameters.count), context)
        let reply = ChatReply(
            model: parameters.model ?? configuration.modelName, turn: turn,
            promptCount: streams.first?.promptTokens.count ?? 0,
            reportsLogProbabilities: reportsLogProbabilities, generator: generator)
        guard let usage = parameters.streamedUsage else {
            return .json(try reply.completion(try await collect(streams)), ignored: fields.ignored)
        }
        return .events(prefix: "data: ", ignored: fields.ignored) { events in
            try await reply.stream(merged(streams), count: streams.count, usage: usage, to: &events)
        }
    }

    /// The conversation, and what is asked of the answer.
    func turn(_ fields: inout RequestFields) throws(APIError) -> ConversationTurn {
        var turn = ConversationTurn(
            try Messages.read(&fields, for: generator, acceptsImages: acceptsImages))
        turn.offer = try ToolOffer(openAI: &fields)
        turn.form = try AnswerForm(openAI: &fields)
        turn.input.addsGenerationPrompt = try fields.bool("add_generation_prompt") ?? true
        turn.continuesFinalMessage = try fields.bool("continue_final_message") ?? false
        if turn.continuesFinalMessage, fields.value("add_generation_prompt")?.bool == true {
            throw .invalid(
                "continue_final_message and add_generation_prompt exclude each other",
                parameter: "continue_final_message")
        }
        for name in ["role_settings", "character_settings", "documents"] {
            if let value = fields.value(name) { turn.input.variables[JSONKey(name)] = value }
        }
        try turn.addVariables(&fields)
        if let effort = try fields.string("reasoning_effort") { try turn.setEffort(effort, generator) }
        if try fields.bool("include_reasoning") == false { turn.reasoning = .hidden }
        if try fields.bool("separate_reasoning") == false { turn.reasoning = .inline }
        try fields.refuse("chat_template")
        return turn
    }
}
