import ChatTemplates
import HTTPTypes
import Hummingbird
import JSON
import OrderedCollections
import Serving
import TextGeneration
import Tokenizers

// Text to tokens and back, in the shapes of vLLM and of llama.cpp.
extension Server {
    func addTokenizeRoutes(_ router: Router<ServerContext>) {
        router.post("/tokenize", use: answering(style: .openAI, tokenize))
        router.post("/detokenize", use: answering(style: .openAI, detokenize))
        router.get("/tokenizer_info") { _, _ in tokenizerInformation }
    }

    /// A text as `prompt` or a conversation as `messages` is vLLM's form, a text as `content` llama.cpp's.
    private func tokenize(_ body: JSONValue, _ context: ServerContext) async throws -> Response {
        var fields = try RequestFields(body)
        let given = ["prompt", "messages", "content"].filter { fields.value($0) != nil }
        guard given.count == 1 else {
            throw APIError.invalid(
                "expected one of prompt, messages and content, found "
                    + (given.isEmpty ? "none" : given.joined(separator: " and ")), parameter: "prompt")
        }
        let answer = given == ["content"] ? try pieces(&fields) : try await counted(&fields, context)
        return .json(answer, ignored: fields.ignored)
    }

    private func counted(_ fields: inout RequestFields, _ context: ServerContext) async throws -> JSONValue {
        let prompt: TextRequest.Prompt
        _ = try fields.string("model")
        if let text = try fields.string("prompt") {
            prompt = .text(
                text, addsSpecialTokens: try fields.bool("add_special_tokens") ?? true,
                parsesSpecialTokens: try fields.bool("parse_special_tokens") ?? true)
        } else {
            let asked = try turn(&fields)
            let turn = try asked.prepared(generator, await ready(asked.images, context)) {
                TextRequest(prompt: .tokens($0), maxNewTokens: 1)
            }
            prompt = turn.request.prompt
            // A template has them already.
            try fields.refuse("add_special_tokens") { $0.bool == false }
        }
        let tokens = try generator.tokens(of: prompt)
        var answer: JSONValue.Members = [
            "count": .integer(tokens.count),
            "max_model_len": .integer(generator.engine.configuration.maxRequestTokens),
            "tokens": .array(tokens.map { .integer(Int($0)) }), "token_strs": nil,
        ]
        if try fields.bool("return_token_strs") ?? false {
            answer["token_strs"] = .array(tokens.map { .string(generator.tokenizer.token($0)) })
        }
        return .object(answer)
    }

    private func pieces(_ fields: inout RequestFields) throws -> JSONValue {
        let tokens = try generator.tokens(
            of: .text(
                try fields.string("content") ?? "",
                addsSpecialTokens: try fields.bool("add_special") ?? false,
                parsesSpecialTokens: try fields.bool("parse_special") ?? true))
        guard try fields.bool("with_pieces") ?? false else {
            return ["tokens": .array(tokens.map { .integer(Int($0)) })]
        }
        return [
            "tokens": .array(
                tokens.map { token in
                    let bytes = generator.tokenizer.bytes(of: token)
                    // What is no text by itself is told in bytes.
                    let piece =
                        String(validating: bytes, as: UTF8.self).map { JSONValue.string($0) }
                        ?? .array(bytes.map { .integer(Int($0)) })
                    return ["id": .integer(Int(token)), "piece": piece]
                })
        ]
    }

    /// The text under both names, as both forms of the request are the same.
    private func detokenize(_ body: JSONValue, _ context: ServerContext) async throws -> Response {
        var fields = try RequestFields(body)
        _ = try fields.string("model")
        guard let value = fields.value("tokens") else {
            throw APIError.invalid("tokens is missing", parameter: "tokens")
        }
        guard let tokens = value.array?.allTokens else {
            throw fields.wrong("tokens", "a list of token ids", value)
        }
        let size = generator.engine.vocabularySize
        if let stray = tokens.first(where: { $0 < 0 || Int($0) >= size }) {
            throw APIError.invalid("token \(stray) is outside the vocabulary of \(size)", parameter: "tokens")
        }
        let text = JSONValue.string(generator.tokenizer.decode(tokens, skipsSpecialTokens: false))
        return .json(["prompt": text, "content": text], ignored: fields.ignored)
    }

    /// What a client needs to make prompts itself; under the names of tokenizer_config.json.
    private var tokenizerInformation: Response {
        func text(_ text: String?) -> JSONValue { text.map { .string($0) } ?? .null }
        return .json([
            "bos_token": text(generator.bosToken), "eos_token": text(generator.eosToken), "pad_token": nil,
            "chat_template": text(generator.chatTemplate?.source),
            "model_max_length": .integer(generator.engine.configuration.maxRequestTokens),
            "vocab_size": .integer(generator.engine.vocabularySize),
        ])
    }
}
