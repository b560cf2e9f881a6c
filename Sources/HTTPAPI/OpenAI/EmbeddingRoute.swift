import Foundation
import Hummingbird
import JSON
import OrderedCollections
import Scheduling
import Serving
import TextGeneration

extension Server {
    func addEmbeddingRoute(_ router: Router<ServerContext>) {
        router.post("/v1/embeddings", use: answering(style: .openAI, embed))
    }

    /// The most texts of a request, as OpenAI has it.
    private static let mostTexts = 2048

    private func embed(_ body: JSONValue, _ context: ServerContext) async throws -> Response {
        guard generator.engine.embedsTexts else {
            throw APIError.invalid(
                "this server generates text; one that is started with --embedding gives embeddings")
        }
        var fields = try RequestFields(body)
        let model = try fields.string("model")
        _ = fields.value("user")
        try fields.refuse("truncate_prompt_tokens")
        let isBase64 = try Self.isBase64(&fields)
        let dimensions = try fields.int("dimensions", in: 1...generator.engine.outputWidth)
        let texts = try Self.texts(&fields).map { try generator.tokens(of: $0) }
        var request = TextRequest(prompt: .tokens([]), maxNewTokens: 1)
        try fields.readTerms(into: &request)
        request = request.of(context.tenant, timeout: configuration.queueTimeout)
        let pending = try generator.embed(
            texts, dimensions: dimensions, terms: request.terms, cacheSalt: request.cacheSalt)
        context.onDisconnect(pending.cancel)
        let vectors = try await pending.vectors()
        let count = JSONValue.integer(texts.reduce(0) { $0 + $1.count })
        return .json(
            [
                "object": "list",
                "data": .array(
                    vectors.enumerated().map { index, vector in
                        [
                            "object": "embedding", "index": .integer(index),
                            "embedding": isBase64
                                ? .string(Self.base64(vector)) : .array(vector.map { JSONValue($0) }),
                        ]
                    }),
                "model": .string(model ?? configuration.modelName),
                "usage": ["prompt_tokens": count, "total_tokens": count],
            ], ignored: fields.ignored)
    }

    private static func isBase64(_ fields: inout RequestFields) throws(APIError) -> Bool {
        switch try fields.string("encoding_format") {
        case nil, "float"?: return false
        case "base64"?: return true
        case let other?:
            throw .invalid(
                "encoding_format must be float or base64, found '\(other)'", parameter: "encoding_format")
        }
    }

    /// Little-endian 32-bit numbers, one after the other.
    private static func base64(_ vector: [Float]) -> String {
        Data(
            vector.flatMap { value in
                let bits = value.bitPattern
                return (0..<4).map { UInt8(truncatingIfNeeded: bits >> (8 * UInt32($0))) }
            }
        ).base64EncodedString()
    }

    /// One text, several, one list of token ids, or several.
    private static func texts(_ fields: inout RequestFields) throws(APIError) -> [TextRequest.Prompt] {
        guard let value = fields.value("input") else {
            throw .invalid("input is missing", parameter: "input")
        }
        let addsSpecialTokens = try fields.bool("add_special_tokens") ?? true
        func text(_ text: String) -> TextRequest.Prompt {
            .text(text, addsSpecialTokens: addsSpecialTokens, parsesSpecialTokens: false)
        }
        if let single = value.string { return [text(single)] }
        guard let items = value.array else { throw fields.wrong("input", "text or token ids", value) }
        guard !items.isEmpty else { throw .invalid("input is empty", parameter: "input") }
        if let tokens = items.allTokens { return [.tokens(tokens)] }
        guard items.count <= mostTexts else {
            throw .invalid(
                "input may hold \(mostTexts) texts at most, found \(items.count)", parameter: "input")
        }
        if let texts = items.allStrings { return texts.map(text) }
        let lists = items.compactMap { $0.array?.allTokens }
        guard lists.count == items.count else {
            throw .invalid(
                "input must be a string, strings, token ids, or lists of token ids", parameter: "input")
        }
        return lists.map { .tokens($0) }
    }
}
