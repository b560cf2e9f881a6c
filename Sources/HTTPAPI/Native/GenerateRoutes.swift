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
        router.post(
            "/pd_generate_stream",
            use: answering(style: .native) { _, _ in
                throw APIError(
                    status: .notFound,
                    message: "prefill and decode run in one server here, which /generate_stream asks")
            })
    }

    /// A request of LightLLM's own form.
    private struct NativeRequest {
        var request: TextRequest
        let count: Int
        let reply: NativeReply
        /// What answers must be like.
        let form: CompiledForm
        /// Those that the prompt's marks stand for, in order.
        let images: [MediaReference]
        /// The fields that nothing understood.
        let ignored: [String]
    }

    private func nativeRequest(_ body: JSONValue) throws -> NativeRequest {
        let options = configuration.native
        var fields = try RequestFields(body)
        for field in ["prompt_embeds", "prompt_bin"] { try fields.refuse(field) { $0.isNothing } }
        let images = try fields.images(acceptsImages: acceptsImages)
        var values = fields.value("parameters") ?? .object([:])
        if options.usesTGI { values = Self.named(asInTGI: values) }
        var inner = try RequestFields(values, path: "parameters")
        let parameters = try NativeParameters(&inner, generator, options)
        var request = try parameters.textRequest(inputs: fields.value("inputs"))
        // LazyLLM puts the ends of tool calls here, beside those among the parameters.
        request.stopTexts += (try fields.strings("stop") ?? []).filter { !$0.isEmpty }
        try OpenAIParameters.limit(request.stopTexts.map(\.utf8.count), "stop")
        guard images.isEmpty || options.group != .tokenHealing else {
            throw APIError.invalid(
                "images are not supported with --token_healing_mode", parameter: "multimodal_params")
        }
        let beginning = options.group == .tokenHealing ? try heal(&request) : nil
        return NativeRequest(
            request: request, count: parameters.count,
            reply: NativeReply(
                options: options, returnsDetails: parameters.returnsDetails, beginning: beginning),
            form: parameters.form, images: images,
            ignored: fields.ignored + inner.ignored.map(inner.name))
    }

    /// The same with its images among the prompt's tokens, where it may have some: marks without images are errors too.
    private func illustrated(_ asked: NativeRequest, _ context: ServerContext) async throws -> NativeRequest {
        guard generator.takesImages, configuration.native.group != .tokenHealing else { return asked }
        var asked = asked
        let prompt = try generator.illustrated(
            asked.request.prompt, with: await ready(asked.images, context))
        (asked.request.prompt, asked.request.images) = (.tokens(prompt.tokens), prompt.images)
        return asked
    }

    /// Parameters that text-generation-inference has under names of its own, under LightLLM's.
    private static func named(asInTGI parameters: JSONValue) -> JSONValue {
        guard var members = parameters.object else { return parameters }
        for (name, native) in [("details", "return_details"), ("stop", "stop_sequences")] {
            guard let value = members.removeValue(forKey: JSONKey(name)) else { continue }
            if members[JSONKey(native)]?.isNull ?? true { members[JSONKey(native)] = value }
        }
        return .object(members)
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
        let asked = try await illustrated(nativeRequest(body), context)
        if configuration.native.group == .beam, asked.count > 1 {
            let answers = try await searchBeams(asked.request, count: asked.count, context)
            return .json(asked.reply.whole(answers), ignored: asked.ignored)
        }
        var requests = Self.repeated(asked.request, count: asked.count)
        requests[0].scoresPrompt = configuration.native.scoresPrompts
        let answers = try await collect(try start(requests, context))
        for answer in answers { try asked.form.validate(answer.text, answer.finish, of: asked.request) }
        return .json(asked.reply.whole(answers), ignored: asked.ignored)
    }

    private func generateStream(_ body: JSONValue, _ context: ServerContext) async throws -> Response {
        let asked = try await illustrated(nativeRequest(body), context)
        guard asked.count == 1 else {
            throw APIError.invalid("stream api only support best_of == 1", parameter: "best_of")
        }
        let stream = try start([asked.request], context)[0]
        // What text-generation-inference's clients get is what Python's json writes.
        let style = configuration.native.usesTGI ? JSONStyle.spaced : .compact
        return .events(prefix: "data:", style: style, ignored: asked.ignored) { events in
            var tokens = NativeReply.TokenCount(asked.reply, promptCount: stream.promptTokens.count)
            for try await case (_, .chunk(let chunk)) in merged([stream]) {
                try await events.send(tokens.event(chunk))
            }
        }
    }
}
