import Foundation
import Hummingbird
import JSON
import OrderedCollections
import Serving
import TextGeneration
import Tokenizers

extension Server {
    func complete(_ body: JSONValue, _ context: ServerContext) async throws -> Response {
        var fields = try RequestFields(body)
        try fields.refuse("suffix") { $0.isNothing }
        let parameters = try OpenAIParameters(&fields, generator)
        let candidates = try fields.int("best_of", in: 1...32) ?? parameters.count
        guard candidates >= parameters.count else {
            throw APIError.invalid("best_of must be at least n", parameter: "best_of")
        }
        guard candidates == parameters.count || parameters.streamedUsage == nil else {
            throw APIError.invalid("best_of must equal n where answers are streamed", parameter: "best_of")
        }
        let form = try AnswerForm(openAI: &fields).compiled(generator)
        let top = try fields.int("logprobs", in: 0...20)
        let echoes = try fields.bool("echo") ?? false
        let addsSpecialTokens = try fields.bool("add_special_tokens") ?? true
        let parsesSpecialTokens = try fields.bool("parse_special_tokens") ?? true
        func text(_ text: String) -> TextRequest.Prompt {
            .text(text, addsSpecialTokens: addsSpecialTokens, parsesSpecialTokens: parsesSpecialTokens)
        }
        var requests: [TextRequest] = []
        for prompt in try Self.prompts(&fields, text) {
            var request = try parameters.textRequest(
                try generator.tokens(of: prompt), generator, defaultMaxTokens: configuration.defaultMaxTokens)
            request.topLogProbabilities = top ?? 0
            request.scoresPrompt = echoes && top != nil
            request.detokenization.continuesText = true
            // A prompt is scored on the way to a token, which is then left out.
            request.maxNewTokens = max(request.maxNewTokens, echoes ? 1 : request.maxNewTokens)
            form.apply(to: &request)
            requests += Self.repeated(request, count: candidates)
        }
        let streams = try start(requests, context)
        let reply = CompletionReply(
            model: parameters.model ?? configuration.modelName, echoes: echoes,
            reportsLogProbabilities: top != nil,
            generatesNothing: parameters.maxTokens == 0, choicesOfPrompt: parameters.count,
            generator: generator)
        guard let usage = parameters.streamedUsage else {
            let answers = try await collect(streams)
            for (answer, request) in zip(answers, requests) {
                try form.validate(answer.text, answer.finish, of: request)
            }
            let generated = answers.reduce(0) { $0 + $1.chunks.count }
            let best = Self.best(parameters.count, of: candidates, answers)
            return .json(reply.completion(best, generated: generated), ignored: fields.ignored)
        }
        return .events(prefix: "data: ", ignored: fields.ignored) { events in
            try await reply.stream(
                merged(streams), prompts: streams.map(\.promptTokens), usage: usage, to: &events)
        }
    }

    /// Of every `candidates` answers those whose tokens are the likeliest on average, likeliest first.
    private static func best(_ count: Int, of candidates: Int, _ answers: [Answer]) -> [Answer] {
        guard candidates > count else { return answers }
        return stride(from: 0, to: answers.count, by: candidates).flatMap { first in
            let group = answers[first..<min(first + candidates, answers.count)]
            return group.map { ($0, $0.meanLogProbability) }.sorted { $0.1 > $1.1 }.prefix(count).map(\.0)
        }
    }

    /// One text, several, one list of token ids, or several.
    private static func prompts(
        _ fields: inout RequestFields, _ text: (String) -> TextRequest.Prompt
    ) throws(APIError) -> [TextRequest.Prompt] {
        guard let value = fields.value("prompt") else {
            throw .invalid("prompt is missing", parameter: "prompt")
        }
        if let single = value.string { return [text(single)] }
        guard let items = value.array else { throw fields.wrong("prompt", "text or token ids", value) }
        guard !items.isEmpty else { throw .invalid("Prompt cannot be empty", parameter: "prompt") }
        guard items.count <= 2048 else {
            throw .invalid("prompt holds more than 2048 prompts", parameter: "prompt")
        }
        if let texts = items.allStrings { return texts.map(text) }
        if let tokens = items.allTokens { return [.tokens(tokens)] }
        let lists = items.compactMap { $0.array?.allTokens }
        guard lists.count == items.count else {
            throw .invalid(
                "prompt must be a string, strings, token ids, or lists of token ids", parameter: "prompt")
        }
        return lists.map { .tokens($0) }
    }
}

/// The shapes of a completion.
private struct CompletionReply: Sendable {
    let id = "cmpl-" + UUID().uuidString.lowercased().replacing("-", with: "")
    let created = Int(Date().timeIntervalSince1970)
    let model: String
    let echoes: Bool
    let reportsLogProbabilities: Bool
    let generatesNothing: Bool
    let choicesOfPrompt: Int
    let generator: TextGenerator

    private func object(_ choices: [JSONValue]) -> JSONValue.Members {
        [
            "id": .string(id), "object": "text_completion", "created": .integer(created),
            "model": .string(model),
            "choices": .array(choices),
        ]
    }

    func completion(_ answers: [Answer], generated: Int) -> JSONValue {
        let choices = answers.enumerated().map { index, answer -> JSONValue in
            let chunks = generatesNothing ? [] : answer.chunks
            var log = TokenLog(generator)
            let echo = echoes ? echo(answer.promptTokens) : ""
            if echoes { log.addPrompt(answer.prompt) }
            for chunk in chunks { log.add(chunk.token) }
            return [
                "index": .integer(index), "text": .string(echo + chunks.map(\.text).joined()),
                "logprobs": reportsLogProbabilities ? log.value : nil,
                "finish_reason": .string(generatesNothing ? "length" : answer.finish?.rawValue ?? "stop"),
            ]
        }
        var result = object(choices)
        // The choices of one prompt share it.
        let firsts = stride(from: 0, to: answers.count, by: choicesOfPrompt).map { answers[$0] }
        var usage = TokenUsage(prompt: firsts.reduce(0) { $0 + $1.promptTokens.count })
        usage.cached = firsts.reduce(0) { $0 + $1.cachedTokens }
        usage.completion = generatesNothing ? 0 : generated
        result["usage"] = usage.value
        return .object(result)
    }

    private func echo(_ tokens: [Int32]) -> String { generator.tokenizer.decode(tokens) }

    func stream(
        _ merged: AsyncThrowingStream<(Int, TextEvent), any Error>, prompts: [[Int32]], usage: StreamedUsage,
        to events: inout EventWriter
    ) async throws {
        let counts = stride(from: 0, to: prompts.count, by: choicesOfPrompt).map { prompts[$0].count }
        var total = TokenUsage(prompt: counts.reduce(0, +))
        func choice(_ index: Int, _ text: String, _ logprobs: JSONValue, _ finish: FinishReason?) -> JSONValue
        {
            var result = object([
                [
                    "index": .integer(index), "text": .string(text), "logprobs": logprobs,
                    "finish_reason": finish.map { .string($0.rawValue) } ?? .null,
                ]
            ])
            if let usage = usage.each(total) { result["usage"] = usage }
            return .object(result)
        }
        var logs = prompts.map { _ in TokenLog(generator) }
        if echoes, !reportsLogProbabilities {
            for (index, prompt) in prompts.enumerated() {
                try await events.send(choice(index, echo(prompt), nil, nil))
            }
        }
        for try await (index, event) in merged {
            switch event {
            case .prompt(let tokens):
                logs[index].addPrompt(tokens)
                try await events.send(choice(index, echo(tokens.map(\.token)), logs[index].take(), nil))
            case .started(let count): total.cached += index.isMultiple(of: choicesOfPrompt) ? count : 0
            case .failed(let error): throw error
            case .chunk(let chunk):
                total.completion += generatesNothing ? 0 : 1
                if !generatesNothing { logs[index].add(chunk.token) }
                guard !chunk.text.isEmpty || chunk.finish != nil || reportsLogProbabilities else { continue }
                try await events.send(
                    choice(
                        index, generatesNothing ? "" : chunk.text,
                        reportsLogProbabilities ? logs[index].take() : nil,
                        chunk.finish))
            }
        }
        if usage.hasLast {
            var last = object([])
            last["usage"] = total.value
            try await events.send(.object(last))
        }
        try await events.sendDone()
    }
}

/// `tokens`, `token_logprobs`, `top_logprobs` and `text_offset` of a completion.
private struct TokenLog {
    private let generator: TextGenerator
    private var tokens: [JSONValue] = []
    private var logProbabilities: [JSONValue] = []
    private var top: [JSONValue] = []
    private var offsets: [JSONValue] = []
    private var offset = 0

    init(_ generator: TextGenerator) { self.generator = generator }

    mutating func addPrompt(_ scored: [ScoredToken]) { for token in scored { add(token) } }

    mutating func add(_ scored: ScoredToken) {
        let text = generator.tokenizer.token(scored.token)
        tokens.append(.string(text))
        logProbabilities.append(scored.logProbability.map { JSONValue($0) } ?? .null)
        var likeliest: JSONValue.Members = [:]
        for entry in scored.top {
            let name = JSONKey(generator.tokenizer.token(entry.token))
            likeliest[name] = likeliest[name] ?? JSONValue(entry.logProbability)
        }
        top.append(scored.logProbability == nil ? .null : .object(likeliest))
        offsets.append(.integer(offset))
        offset += text.unicodeScalars.count
    }

    var value: JSONValue {
        [
            "tokens": .array(tokens), "token_logprobs": .array(logProbabilities), "top_logprobs": .array(top),
            "text_offset": .array(offsets),
        ]
    }

    /// What has come since the last call.
    mutating func take() -> JSONValue {
        defer { (tokens, logProbabilities, top, offsets) = ([], [], [], []) }
        return value
    }
}
