import Serving
import TextGeneration

/// What LightLLM's group modes do with the answers of a request.
public enum GroupMode: Sendable, Equatable {
    case independent
    /// As `independent`; tokens also carry the sum of the log probabilities up to them.
    case diverse
    /// The `best_of` answers are the likeliest that a search finds.
    case beam
    /// The last tokens of prompts may be cut otherwise.
    case tokenHealing
    /// The first token of an answer is one of these.
    case firstToken([Int32])
}

extension Server {
    /// The request under the constraint that the server's mode puts on all.
    func constrained(_ request: TextRequest) -> TextRequest {
        guard case .firstToken(let tokens) = configuration.native.group else { return request }
        var request = request
        request.constraint = FirstTokenConstraint(
            tokens, vocabularySize: generator.engine.vocabularySize, beside: request.constraint)
        return request
    }

    /// Has the answer choose the prompt's last tokens again, for which it has some more. Returns the text that it
    /// begins with and which is the prompt's.
    func heal(_ request: inout TextRequest) throws -> String {
        guard request.constraint == nil else {
            throw APIError.invalid("answers of a form are not supported with --token_healing_mode")
        }
        let healed = HealedPrompt(try generator.tokens(of: request.prompt), for: generator)
        (request.prompt, request.constraint) = (.tokens(healed.tokens), healed.constraint)
        guard healed.constraint != nil else { return "" }
        let (most, overflow) = request.maxNewTokens.addingReportingOverflow(6)
        request.maxNewTokens = overflow ? .max : most
        request.sampling.likeliestTokens = 1
        request.detokenization.continuesText = true
        return healed.beginning
    }

    /// The likeliest `count` answers, the likeliest last.
    func searchBeams(_ request: TextRequest, count: Int, _ context: ServerContext) async throws -> [Answer] {
        try Self.requireForBeams(request)
        let prompt = try generator.tokens(of: request.prompt)
        try generator.validate(request, prompt: prompt)
        var search = BeamSearch(request, prompt: prompt, width: count, generator)
        var timer: RequestTimer?
        while case let requests = search.requests, !requests.isEmpty {
            let streams = try start(requests, context)
            var candidates: [[TokenScore]] = []
            for stream in streams {
                var running = timer ?? metrics.begin(stream)
                candidates.append(try await likeliest(stream, &running, isFirst: timer == nil))
                timer = running
            }
            search.advance(candidates)
        }
        let answers = search.results.map { Answer(promptTokens: prompt, chunks: $0.chunks) }
        if let timer, let finish = answers.last?.finish { metrics.end(timer, finish) }
        return answers
    }

    private func likeliest(
        _ stream: TextStream, _ timer: inout RequestTimer, isFirst: Bool
    ) async throws -> [TokenScore] {
        var tokens: [TokenScore]?
        for await event in stream {
            switch event {
            case .started(let count) where isFirst: timer.start(cachedTokens: count)
            case .chunk(let chunk):
                metrics.countToken(&timer)
                tokens = chunk.token.top
            case .failed(let error): throw error
            case .started, .prompt: break
            }
        }
        guard let tokens else { throw RequestError.engineStopped }
        return tokens
    }

    /// Refuses what depends on the tokens so far, which a beam's steps do not know.
    private static func requireForBeams(_ request: TextRequest) throws(APIError) {
        let sampling = request.sampling
        let refused = [
            ("presence_penalty", sampling.presencePenalty != 0),
            ("frequency_penalty", sampling.frequencyPenalty != 0),
            ("repetition_penalty", sampling.repetitionPenalty != 1),
            ("exponential_decay_length_penalty", sampling.lengthPenalty != nil),
            ("a form of the answer", request.constraint != nil),
        ].filter(\.1).map(\.0)
        guard refused.isEmpty else {
            throw .invalid("\(refused.joined(separator: " and ")) is not supported with --beam_mode")
        }
    }
}
