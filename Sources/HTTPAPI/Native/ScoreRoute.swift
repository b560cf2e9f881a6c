import Hummingbird
import JSON
import OrderedCollections
import TextGeneration

extension Server {
    /// What a reward model says of a conversation.
    func addScoreRoute(_ router: Router<ServerContext>) {
        router.post("/get_score", use: answering(style: .native, score))
    }

    private func score(_ body: JSONValue, _ context: ServerContext) async throws -> Response {
        var fields = try RequestFields(body)
        _ = try fields.images(acceptsImages: false)
        let prompt: TextRequest.Prompt
        switch fields.value("chat") {
        case .string(let text)?: prompt = .text(text)
        case .array(let items)?:
            guard let tokens = items.allTokens else {
                throw APIError.invalid("chat must be a string or a list of token ids", parameter: "chat")
            }
            prompt = .tokens(tokens)
        case nil: throw APIError.invalid("chat is missing", parameter: "chat")
        case let other?: throw fields.wrong("chat", "a string or a list of token ids", other)
        }
        let tokens = try generator.tokens(of: prompt)
        let score = try await generator.score(of: tokens)
        return .json(
            [
                "score": JSONValue(score), "prompt_tokens": .integer(tokens.count), "finish_reason": "stop",
            ], ignored: fields.ignored)
    }
}
