import JSON
import OrderedCollections
import Serving
import TextGeneration

/// The shapes of LightLLM's answers: its own, and text-generation-inference's.
struct NativeReply: Sendable {
    let options: NativeOptions
    let returnsDetails: Bool
    /// The text that answers begin with and which is the prompt's, where that is healed.
    var beginning: String?

    /// The answer to `/generate`.
    func whole(_ answers: [Answer]) -> JSONValue {
        if options.usesTGI { return .array(answers.map { .object(tgiAnswer($0, answers.first)) }) }
        func one(_ values: [JSONValue]) -> JSONValue { values.count == 1 ? values[0] : .array(values) }
        var result: JSONValue.Members = [
            "generated_text": .array(answers.map(text)),
            "count_output_tokens": one(answers.map { .integer($0.chunks.count) }),
            "finish_reason": one(answers.map(finish)),
            "prompt_tokens": .integer(answers.first?.promptTokens.count ?? 0),
        ]
        if returnsDetails { result["tokens"] = one(answers.map(tokens)) }
        result.merge(promptScores(answers.first)) { $1 }
        return .object(result)
    }

    private func tgiAnswer(_ answer: Answer, _ first: Answer?) -> JSONValue.Members {
        var result: JSONValue.Members = [
            "generated_text": text(answer), "count_output_tokens": .integer(answer.chunks.count),
            "finish_reason": finish(answer),
        ]
        if returnsDetails {
            result["details"] = [
                "tokens": tokens(answer), "generated_tokens": .integer(answer.chunks.count),
                "finish_reason": finish(answer),
            ]
        }
        result.merge(promptScores(first)) { $1 }
        return result
    }

    private func text(_ answer: Answer) -> JSONValue {
        .string(String(decoding: answer.text.utf8.dropFirst(beginning?.utf8.count ?? 0), as: UTF8.self))
    }

    private func finish(_ answer: Answer) -> JSONValue { .string(answer.finish?.rawValue ?? "") }

    private func tokens(_ answer: Answer) -> JSONValue {
        var log = TokenCount(self, promptCount: answer.promptTokens.count)
        return .array(
            answer.chunks.enumerated().map { index, chunk in
                var token = log.token(chunk)
                // The last token's has never been there.
                if index + 1 < answer.chunks.count {
                    token["prompt_cache_len"] = .integer(answer.cachedTokens)
                }
                return .object(token)
            })
    }

    /// Each token of the prompt with the log probability of the one that follows.
    private func promptScores(_ answer: Answer?) -> JSONValue.Members {
        guard options.scoresPrompts, let answer else { return [:] }
        let pairs = zip(answer.prompt, answer.prompt.dropFirst()).map { token, next -> JSONValue in
            let score = next.logProbability.map { JSONValue($0) } ?? .null
            return [.integer(Int(token.token)), .object([JSONKey("\(next.token)"): score])]
        }
        return [
            "prompt_token_ids": .array(answer.promptTokens.map { .integer(Int($0)) }),
            "prompt_logprobs": .array(pairs),
        ]
    }

    /// Counts an answer's tokens as they come.
    struct TokenCount {
        private let reply: NativeReply
        private let promptCount: Int
        private(set) var count = 0
        private var logProbability = 0.0
        private var text = ""
        /// Bytes of the text to come that are the prompt's.
        private var hidden: Int

        init(_ reply: NativeReply, promptCount: Int) {
            (self.reply, self.promptCount) = (reply, promptCount)
            hidden = reply.beginning?.utf8.count ?? 0
        }

        /// What is said of a token wherever it stands.
        mutating func token(_ chunk: TextChunk) -> JSONValue.Members {
            count += 1
            let shown = String(decoding: chunk.text.utf8.dropFirst(hidden), as: UTF8.self)
            hidden = max(0, hidden - chunk.text.utf8.count)
            text += shown
            var token: JSONValue.Members = [
                "id": .integer(Int(chunk.token.token)), "text": .string(shown),
                "logprob": chunk.token.logProbability.map { JSONValue($0) } ?? .null,
                "special": .bool(chunk.isSpecial), "count_output_tokens": .integer(count),
                "prompt_tokens": .integer(promptCount),
            ]
            if reply.options.group == .diverse {
                logProbability += Double(chunk.token.logProbability ?? 0)
                token["cumlogprob"] = .number(logProbability)
            }
            if let beginning = reply.beginning { token["prefix_str"] = .string(beginning) }
            return token
        }

        /// The event of `/generate_stream` for a token.
        mutating func event(_ chunk: TextChunk) -> JSONValue {
            var token = token(chunk)
            let finish = chunk.finish.map { JSONValue.string($0.rawValue) } ?? .null
            var event: JSONValue.Members = [
                "token": .object(token), "generated_text": nil, "finished": .bool(chunk.finish != nil),
                "finish_reason": finish, "details": nil,
            ]
            guard reply.options.usesTGI else { return .object(event) }
            token["prompt_tokens"] = nil
            event["token"] = .object(token)
            if chunk.finish != nil {
                event["generated_text"] = .string(text)
                if reply.returnsDetails {
                    event["details"] = ["generated_tokens": .integer(count), "finish_reason": finish]
                }
            }
            return .object(event)
        }
    }
}
