import HTTPTypes
import Hummingbird
import JSON
import NIOCore
import OrderedCollections
import Serving
import TextGeneration

extension Server {
    func addAnthropicRoutes(_ router: Router<ServerContext>) {
        router.post("/v1/messages", use: answering(style: .anthropic, messages))
        router.post("/v1/messages/count_tokens", use: answering(style: .anthropic, countMessageTokens))
    }

    private func messages(_ body: JSONValue, _ context: ServerContext) async throws -> Response {
        var fields = try RequestFields(body)
        let turn = try anthropicTurn(&fields)
        guard fields.value("max_tokens") != nil else {
            throw APIError.invalid("max_tokens is missing", parameter: "max_tokens")
        }
        for field in ["container", "mcp_servers", "context_management"] {
            try fields.refuse(field) { $0.isNothing }
        }
        for field in ["metadata", "service_tier", "betas"] { _ = fields.value(field) }
        var renamed = try fields.renamed([
            "model": "model", "max_tokens": "max_tokens", "temperature": "temperature", "top_p": "top_p",
            "top_k": "top_k", "stop_sequences": "stop", "stream": "stream", "seed": "seed",
            "priority": "priority", "queue_timeout": "queue_timeout", "cache_salt": "cache_salt",
        ])
        let parameters = try OpenAIParameters(&renamed, generator)
        let (prepared, stream) = try await answer(turn, parameters, context)
        let reply = MessageReply(
            model: parameters.model ?? configuration.modelName, turn: prepared,
            promptCount: stream.promptTokens.count)
        guard parameters.streamedUsage != nil else {
            let answer = try await collect([stream])[0]
            return .json(try reply.message(answer), ignored: fields.ignored)
        }
        return .events(prefix: "data: ", ignored: fields.ignored) { events in
            do {
                try await reply.stream(merged([stream]), to: &events)
            } catch {
                let error = APIError(error)
                try await events.send("error", error.body(.anthropic))
            }
        }
    }

    private func countMessageTokens(_ body: JSONValue, _ context: ServerContext) async throws -> Response {
        var fields = try RequestFields(body)
        let turn = try anthropicTurn(&fields)
        _ = fields.value("model")
        let prepared = try turn.prepared(generator, await ready(turn.images, context)) { tokens in
            TextRequest(prompt: .tokens(tokens), maxNewTokens: 1)
        }
        let count = try generator.tokens(of: prepared.request.prompt).count
        return .json(["input_tokens": .integer(count)], ignored: fields.ignored)
    }

    private func anthropicTurn(_ fields: inout RequestFields) throws(APIError) -> ConversationTurn {
        let conversation = try AnthropicMessages.read(&fields, acceptsImages: acceptsImages)
        var turn = ConversationTurn(conversation)
        // A last message of the assistant's is the beginning of the answer.
        let last = conversation.messages.last
        turn.continuesFinalMessage =
            last?["role"]?.string == "assistant" && last?["tool_calls"] == nil
        turn.offer = try AnthropicMessages.offer(&fields)
        if let format = fields.value("output_format") ?? fields.value("output_config")?["format"] {
            guard format["type"]?.string == "json_schema", let schema = format["schema"] else {
                throw .invalid(
                    "output_format must be {\"type\": \"json_schema\", \"schema\": …}",
                    parameter: "output_format")
            }
            turn.form = AnswerForm(schema: schema, field: "output_format")
        }
        if let thinking = fields.value("thinking") {
            let type = thinking["type"]?.string
            guard type == "enabled" || type == "disabled" || type == "adaptive" else {
                throw .invalid("thinking.type must be enabled or disabled", parameter: "thinking")
            }
            if type == "disabled" {
                try turn.setEffort("none", generator)
            } else {
                guard generator.answerFormat.reasoning != nil else {
                    throw .invalid("this model is not known to reason", parameter: "thinking")
                }
                guard thinking["budget_tokens"] == nil || (thinking["budget_tokens"]?.int ?? 0) > 0 else {
                    throw .invalid("thinking.budget_tokens must be above 0", parameter: "thinking")
                }
                try turn.setEffort("medium", generator)
            }
        }
        return turn
    }
}

/// The shapes of Anthropic's message.
struct MessageReply: Sendable {
    private let id = uniqueID("msg_")
    let model: String
    let turn: PreparedTurn
    let promptCount: Int

    func message(_ answer: Answer) throws -> JSONValue {
        var (assembler, blocks) = (turn.assembler(), AnswerBlocks(turn.callIDs))
        for chunk in answer.chunks { _ = blocks.take(try assembler.take(chunk)) }
        _ = blocks.finish()
        var result = empty(cached: answer.cachedTokens)
        result["content"] = .array(blocks.blocks.map(block))
        result["usage"] = usage(cached: answer.cachedTokens, output: assembler.tokens)
        for (key, value) in ending(assembler, answer.chunks.last) { result[key] = value }
        return .object(result)
    }

    private func empty(cached: Int) -> JSONValue.Members {
        [
            "id": .string(id), "type": "message", "role": "assistant", "model": .string(model),
            "content": [], "stop_reason": nil, "stop_sequence": nil,
            "usage": usage(cached: cached, output: 0),
        ]
    }

    /// Tokens that were in the cache are counted beside the others.
    private func usage(cached: Int, output: Int) -> JSONValue {
        [
            "input_tokens": .integer(promptCount - cached), "cache_read_input_tokens": .integer(cached),
            "cache_creation_input_tokens": 0, "output_tokens": .integer(output),
        ]
    }

    private func ending(_ assembler: AnswerAssembler, _ last: TextChunk?) -> JSONValue.Members {
        let reason: JSONValue =
            switch assembler.reason(last?.finish) {
            case "tool_calls": "tool_use"
            case "length": "max_tokens"
            default: last?.stop == nil ? "end_turn" : "stop_sequence"
            }
        return ["stop_reason": reason, "stop_sequence": last?.stop.map { .string($0) } ?? .null]
    }

    private func block(_ block: AnswerBlock) -> JSONValue {
        switch block.kind {
        case .text: ["type": "text", "text": .string(block.text)]
        case .reasoning: ["type": "thinking", "thinking": .string(block.text), "signature": ""]
        case .call(let id, let name):
            [
                "type": "tool_use", "id": .string(id), "name": .string(name),
                // Cut off by the length, arguments may be no JSON.
                "input": (try? JSONValue(parsing: block.text)) ?? [:],
            ]
        }
    }

    func stream(
        _ merged: AsyncThrowingStream<(Int, TextEvent), any Error>, to events: inout EventWriter
    ) async throws {
        var (assembler, blocks) = (turn.assembler(), AnswerBlocks(turn.callIDs))
        var cached = 0
        for try await (_, event) in merged {
            switch event {
            case .started(let count):
                cached = count
                try await events.send(
                    "message_start",
                    ["type": "message_start", "message": .object(empty(cached: count))])
            case .prompt, .failed: break
            case .chunk(let chunk):
                for event in blocks.take(try assembler.take(chunk)) { try await send(event, to: &events) }
                guard chunk.finish != nil else { continue }
                for event in blocks.finish() { try await send(event, to: &events) }
                try await events.send(
                    "message_delta",
                    [
                        "type": "message_delta", "delta": .object(ending(assembler, chunk)),
                        "usage": usage(cached: cached, output: assembler.tokens),
                    ])
            }
        }
        try await events.send("message_stop", ["type": "message_stop"])
    }

    private func send(_ event: BlockEvent, to events: inout EventWriter) async throws {
        switch event {
        case .opened(let index, let kind):
            try await events.send(
                "content_block_start",
                [
                    "type": "content_block_start", "index": .integer(index),
                    "content_block": block(AnswerBlock(kind: kind)),
                ])
        case .added(let index, let kind, let text):
            let delta: JSONValue =
                switch kind {
                case .text: ["type": "text_delta", "text": .string(text)]
                case .reasoning: ["type": "thinking_delta", "thinking": .string(text)]
                case .call: ["type": "input_json_delta", "partial_json": .string(text)]
                }
            try await events.send(
                "content_block_delta",
                ["type": "content_block_delta", "index": .integer(index), "delta": delta])
        case .closed(let index, _):
            try await events.send(
                "content_block_stop", ["type": "content_block_stop", "index": .integer(index)])
        }
    }
}
