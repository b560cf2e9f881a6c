import Foundation
import HTTPTypes
import Hummingbird
import JSON
import NIOCore
import OrderedCollections
import Serving
import TextGeneration

extension Server {
    /// OpenAI's Responses interface, as far as it keeps nothing between requests.
    func addResponsesRoute(_ router: Router<ServerContext>) {
        router.post("/v1/responses", use: answering(style: .openAI, respond))
    }

    private func respond(_ body: JSONValue, _ context: ServerContext) async throws -> Response {
        var fields = try RequestFields(body)
        // Nothing is stored, so nothing can be gone on with.
        for field in ["previous_response_id", "conversation", "prompt", "background", "store"] {
            try fields.refuse(field) { $0.isNothing }
        }
        for field in ["include", "max_tool_calls", "stream_options", "context_management"] {
            try fields.refuse(field) { $0.isNothing }
        }
        try fields.refuse("truncation") { $0.string == "disabled" }
        for field in ["metadata", "user", "service_tier", "safety_identifier", "prompt_cache_key"] {
            _ = fields.value(field)
        }
        let (turn, settings) = try responseTurn(&fields)
        var renamed = try fields.renamed([
            "model": "model", "max_output_tokens": "max_tokens", "temperature": "temperature",
            "top_p": "top_p", "stream": "stream", "seed": "seed", "stop": "stop", "top_k": "top_k",
            "priority": "priority", "queue_timeout": "queue_timeout", "cache_salt": "cache_salt",
        ])
        let parameters = try OpenAIParameters(&renamed, generator)
        let (prepared, stream) = try await answer(turn, parameters, context)
        let reply = ResponseReply(
            model: parameters.model ?? configuration.modelName, turn: prepared, settings: settings,
            promptCount: stream.promptTokens.count)
        guard parameters.streamedUsage != nil else {
            let answer = try await collect([stream])[0]
            return .json(try reply.response(answer), ignored: fields.ignored)
        }
        return .events(prefix: "data: ", ignored: fields.ignored) { events in
            try await reply.stream(merged([stream]), to: &events)
        }
    }

    /// The conversation, and the settings that the answer repeats.
    private func responseTurn(
        _ fields: inout RequestFields
    ) throws(APIError) -> (ConversationTurn, JSONValue.Members) {
        var settings: JSONValue.Members = [:]
        for (name, standard) in ResponseReply.settings {
            settings[name] = fields.value(name.string) ?? standard
        }
        var turn = ConversationTurn(
            try ResponsesInput.read(&fields, for: generator, acceptsImages: acceptsImages))
        turn.offer = try ToolOffer(openAI: &fields)
        if let text = fields.value("text") {
            var inner = try RequestFields(text, path: "text")
            try inner.refuse("verbosity") { $0.isNothing || $0.string == "medium" }
            if let format = inner.value("format") {
                var form = try RequestFields(["response_format": format])
                turn.form = try AnswerForm(openAI: &form)
            }
        }
        if let reasoning = fields.value("reasoning") {
            var inner = try RequestFields(reasoning, path: "reasoning")
            if let effort = try inner.string("effort") { try turn.setEffort(effort, generator) }
            try inner.refuse("summary") { $0.isNothing || $0.string == "auto" }
        }
        try turn.addVariables(&fields)
        return (turn, settings)
    }
}

/// The shapes of a response.
struct ResponseReply: Sendable {
    /// What a response repeats of its request, and what that is when the request does not say.
    static let settings: JSONValue.Members = [
        "instructions": nil, "max_output_tokens": nil, "temperature": 1, "top_p": 1, "metadata": [:],
        "parallel_tool_calls": true, "tool_choice": "auto", "tools": [],
        "text": ["format": ["type": "text"]], "reasoning": ["effort": nil, "summary": nil], "user": nil,
    ]

    private let id = uniqueID("resp_")
    private let created = Int(Date().timeIntervalSince1970)
    let model: String
    let turn: PreparedTurn
    let settings: JSONValue.Members
    let promptCount: Int

    init(model: String, turn: PreparedTurn, settings: JSONValue.Members, promptCount: Int) {
        (self.model, self.turn, self.settings, self.promptCount) = (model, turn, settings, promptCount)
    }

    func response(_ answer: Answer) throws -> JSONValue {
        var (assembler, blocks) = (turn.assembler(), AnswerBlocks(turn.callIDs))
        for chunk in answer.chunks { _ = blocks.take(try assembler.take(chunk)) }
        _ = blocks.finish()
        var usage = TokenUsage(prompt: promptCount, cached: answer.cachedTokens)
        (usage.completion, usage.reasoning) = (assembler.tokens, assembler.reasoningTokens)
        return object(
            answer.finish == .length ? .incomplete : .completed,
            blocks.blocks.map { item($0, id: uniqueID("item_"), isDone: true) }, usage)
    }

    enum Status: String {
        case inProgress = "in_progress"
        case completed
        case incomplete
    }

    func object(_ status: Status, _ output: [JSONValue], _ usage: TokenUsage?) -> JSONValue {
        var result: JSONValue.Members = [
            "id": .string(id), "object": "response", "created_at": .integer(created),
            "status": .string(status.rawValue), "error": nil,
            "incomplete_details": status == .incomplete ? ["reason": "max_output_tokens"] : nil,
            "model": .string(model), "output": .array(output), "previous_response_id": nil, "store": false,
            "truncation": "disabled", "usage": usage.map(Self.usage) ?? .null,
        ]
        result.merge(settings) { $1 }
        return .object(result)
    }

    private static func usage(_ usage: TokenUsage) -> JSONValue {
        [
            "input_tokens": .integer(usage.prompt),
            "input_tokens_details": ["cached_tokens": .integer(usage.cached)],
            "output_tokens": .integer(usage.completion),
            "output_tokens_details": ["reasoning_tokens": .integer(usage.reasoning)],
            "total_tokens": .integer(usage.prompt + usage.completion),
        ]
    }

    /// An item of the output; before it is done its contents are empty.
    func item(_ block: AnswerBlock, id: String, isDone: Bool) -> JSONValue {
        let status: JSONValue = isDone ? "completed" : "in_progress"
        return switch block.kind {
        case .text:
            [
                "type": "message", "id": .string(id), "status": status, "role": "assistant",
                "content": isDone ? [part(block)] : [],
            ]
        case .reasoning:
            [
                "type": "reasoning", "id": .string(id), "status": status, "summary": [],
                "content": isDone ? [part(block)] : [],
            ]
        case .call(let callID, let name):
            [
                "type": "function_call", "id": .string(id), "status": status, "call_id": .string(callID),
                "name": .string(name), "arguments": .string(block.text),
            ]
        }
    }

    func part(_ block: AnswerBlock) -> JSONValue {
        block.kind == .reasoning
            ? ["type": "reasoning_text", "text": .string(block.text)]
            : ["type": "output_text", "text": .string(block.text), "annotations": [], "logprobs": []]
    }
}
