import Foundation
import JSON
import OrderedCollections
import Serving
import TextGeneration
import Tokenizers
import ToolCalls

/// The shapes of a chat answer.
struct ChatReply: Sendable {
    private let id = "chatcmpl-" + UUID().uuidString.lowercased().replacing("-", with: "")
    private let created = Int(Date().timeIntervalSince1970)
    let model: String
    let turn: PreparedTurn
    let promptCount: Int
    let reportsLogProbabilities: Bool
    let generator: TextGenerator

    private func object(_ kind: String, _ choices: [JSONValue]) -> JSONValue.Members {
        [
            "id": .string(id), "object": .string(kind), "created": .integer(created), "model": .string(model),
            "choices": .array(choices),
        ]
    }

    func completion(_ answers: [Answer]) throws -> JSONValue {
        var usage = TokenUsage(prompt: promptCount, cached: answers.first?.cachedTokens ?? 0)
        let choices = try answers.enumerated().map { index, answer -> JSONValue in
            let parts = try AssembledAnswer(answer, turn)
            usage.completion += parts.tokens
            usage.reasoning += parts.reasoningTokens
            return [
                "index": .integer(index), "message": message(parts),
                "logprobs": logProbabilities(answer.chunks), "finish_reason": .string(parts.reason),
            ]
        }
        var result = object("chat.completion", choices)
        result["usage"] = usage.value
        return .object(result)
    }

    private func message(_ answer: AssembledAnswer) -> JSONValue {
        let isEmpty = answer.content.isEmpty && !answer.calls.isEmpty
        var message: JSONValue.Members = [
            "role": "assistant", "content": isEmpty ? .null : .string(answer.content),
        ]
        if !answer.reasoning.isEmpty { message["reasoning_content"] = .string(answer.reasoning) }
        if !answer.calls.isEmpty {
            message["tool_calls"] = .array(
                answer.calls.map { call in
                    [
                        "id": .string(turn.callIDs.next()), "type": "function",
                        "function": ["name": .string(call.name), "arguments": .string(call.arguments)],
                    ]
                })
        }
        return .object(message)
    }

    func stream(
        _ merged: AsyncThrowingStream<(Int, TextEvent), any Error>, count: Int, usage: StreamedUsage,
        to events: inout EventWriter
    ) async throws {
        var total = TokenUsage(prompt: promptCount)
        for index in 0..<count {
            try await events.send(
                chunk(index, ["role": "assistant", "content": ""], nil, nil, usage.each(total)))
        }
        var assemblers = [AnswerAssembler](repeating: turn.assembler(), count: count)
        for try await (index, event) in merged {
            if case .started(let count) = event, index == 0 { total.cached = count }
            guard case .chunk(let part) = event else { continue }
            let before = assemblers[index].reasoningTokens
            var deltas = try assemblers[index].take(part).compactMap(delta)
            total.completion += 1
            total.reasoning += assemblers[index].reasoningTokens - before
            if deltas.isEmpty, part.finish != nil || reportsLogProbabilities { deltas = [[:]] }
            for (number, delta) in deltas.enumerated() {
                let isLast = number + 1 == deltas.count
                let finish = isLast ? part.finish.map { assemblers[index].reason($0) } : nil
                try await events.send(
                    chunk(
                        index, delta, number == 0 ? logProbabilities([part]) : .null, finish,
                        usage.each(total)))
            }
        }
        if usage.hasLast {
            var last = object("chat.completion.chunk", [])
            last["usage"] = total.value
            try await events.send(.object(last))
        }
        try await events.sendDone()
    }

    private func chunk(
        _ index: Int, _ delta: JSONValue, _ logprobs: JSONValue, _ finish: String?, _ usage: JSONValue?
    ) -> JSONValue {
        var result = object(
            "chat.completion.chunk",
            [
                [
                    "index": .integer(index), "delta": delta, "logprobs": logprobs,
                    "finish_reason": finish.map { .string($0) } ?? .null,
                ]
            ])
        if let usage { result["usage"] = usage }
        return .object(result)
    }

    /// What a part of the answer adds to the message; nil for nothing.
    private func delta(_ event: AnswerEvent) -> JSONValue? {
        switch event {
        case .content(let text): ["content": .string(text)]
        case .reasoning(let text): ["reasoning_content": .string(text)]
        case .callStarted(let index, let name):
            [
                "tool_calls": [
                    [
                        "index": .integer(index), "id": .string(turn.callIDs.next()), "type": "function",
                        "function": ["name": .string(name), "arguments": ""],
                    ]
                ]
            ]
        case .callArguments(let index, let text):
            ["tool_calls": [["index": .integer(index), "function": ["arguments": .string(text)]]]]
        case .markup, .callEnded: nil
        }
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
