import HTTPTypes
import Hummingbird
import JSON
import OrderedCollections
import Serving
import TextGeneration

extension Server {
    func addGenerateRoutes(_ router: Router<ServerContext>) {
        router.post("/generate", use: answering(style: .native, generate))
        router.post("/generate_stream", use: answering(style: .native, generateStream))
        router.post(
            "/",
            use: answering(style: .native) { body, context in
                var fields = try RequestFields(body)
                let streams = try fields.bool("stream") ?? false
                guard case .object(var members) = body else {
                    throw APIError.invalid("the body must be an object")
                }
                members["stream"] = nil
                return streams
                    ? try await generateStream(.object(members), context)
                    : try await generate(.object(members), context)
            })
    }

    /// A request as its body says it, and the fields that nothing understood.
    private func nativeRequest(
        _ body: JSONValue
    ) throws(APIError) -> (parameters: NativeParameters, request: TextRequest, ignored: [String]) {
        var fields = try RequestFields(body)
        try fields.refuse("multimodal_params") { value in
            value.isNothing || (value.object?.values.allSatisfy(\.isNothing) ?? false)
        }
        var inner = try RequestFields(fields.value("parameters") ?? .object([:]), path: "parameters")
        let parameters = try NativeParameters(&inner, generator)
        let request = try parameters.textRequest(inputs: fields.value("inputs"))
        return (parameters, request, fields.ignored + inner.ignored.map(inner.name))
    }

    /// `count` requests that differ in the seed, if there is one.
    static func repeated(_ request: TextRequest, count: Int) -> [TextRequest] {
        (0..<count).map { index in
            var copy = request
            copy.sampling.seed = request.sampling.seed.map { $0 &+ UInt64(index) }
            return copy
        }
    }

    private func generate(_ body: JSONValue, _ context: ServerContext) async throws -> Response {
        let (parameters, request, ignored) = try nativeRequest(body)
        let answers = try await collect(try start(Self.repeated(request, count: parameters.count), context))
        for answer in answers { try parameters.form.validate(answer.text, answer.finish, of: request) }
        func one(_ values: [JSONValue]) -> JSONValue { values.count == 1 ? values[0] : .array(values) }
        let promptCount = answers.first?.promptTokens.count ?? 0
        var result: JSONValue.Members = [
            "generated_text": .array(answers.map { .string($0.text) }),
            "count_output_tokens": one(answers.map { .integer($0.chunks.count) }),
            "finish_reason": one(answers.map { .string($0.finish?.rawValue ?? "") }),
            "prompt_tokens": .integer(promptCount),
        ]
        if parameters.returnsDetails {
            result["tokens"] = one(
                answers.map { answer in
                    .array(
                        answer.chunks.enumerated().map { index, chunk in
                            var token = nativeToken(chunk, number: index + 1, promptCount: promptCount)
                            // The last token's has never been there.
                            if index + 1 < answer.chunks.count {
                                token["prompt_cache_len"] = .integer(answer.cachedTokens)
                            }
                            return .object(token)
                        })
                })
        }
        return .json(.object(result), ignored: ignored)
    }

    private func nativeToken(_ chunk: TextChunk, number: Int, promptCount: Int) -> JSONValue.Members {
        [
            "id": .integer(Int(chunk.token.token)), "text": .string(chunk.text),
            "logprob": chunk.token.logProbability.map { JSONValue($0) } ?? .null,
            "special": .bool(chunk.isSpecial),
            "count_output_tokens": .integer(number), "prompt_tokens": .integer(promptCount),
        ]
    }

    private func generateStream(_ body: JSONValue, _ context: ServerContext) async throws -> Response {
        let (parameters, request, ignored) = try nativeRequest(body)
        guard parameters.count == 1 else {
            throw APIError.invalid("stream api only support best_of == 1", parameter: "best_of")
        }
        let stream = try start([request], context)[0]
        return .events(prefix: "data:", ignored: ignored) { events in
            var number = 0
            for try await case (_, .chunk(let chunk)) in merged([stream]) {
                number += 1
                try await events.send([
                    "token": .object(
                        nativeToken(chunk, number: number, promptCount: stream.promptTokens.count)),
                    "generated_text": nil, "finished": .bool(chunk.finish != nil),
                    "finish_reason": chunk.finish.map { .string($0.rawValue) } ?? .null, "details": nil,
                ])
            }
        }
    }
}
