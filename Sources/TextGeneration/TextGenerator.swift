public import ChatTemplates
import Foundation
import JSON
import Layers
import OrderedCollections
public import Serving
public import Tokenizers

/// Template, tokenizer and engine in one: text in, text out, as it is generated.
public struct TextGenerator: Sendable {
    public let engine: Engine
    public let tokenizer: Tokenizer
    /// Nil when the checkpoint brings none.
    public let chatTemplate: ChatTemplate?
    /// Tokens that end an answer.
    public let endTokens: Set<Int32>
    public let bosToken: String?
    public let eosToken: String?
    /// How answers are sampled unless a request says otherwise (generation_config.json).
    public var standardSampling: SamplingParameters
    /// How prompts that are too long are shortened; by default not at all.
    public var truncation = PromptTruncation()
    /// The most bytes of a prompt's text. A longer one has too many tokens anyway, which would take long to find
    /// out. Nil: any.
    public var longestText: Int?
    /// How hidden states become the vectors of texts, where the model has no head.
    public var embeddingStyle = EmbeddingStyle()
    /// What looks at images; nil where prompts have none.
    public var images: ImageStage?
    /// Why requests fail, all or those with images; nil while all is well.
    public var failure: RequestError? { engine.statistics.failure ?? images?.failure }
    /// How its answers are put together.
    public let answerFormat: AnswerFormat
    /// What may be asked of the form of answers.
    public let constraints: ConstraintCompiler
    /// Special tokens that mark parts of an answer.
    let markers: Set<Int32>

    /// - Parameter answerFormat: By default what the chat template shows.
    public init(
        engine: Engine, tokenizer: Tokenizer, chatTemplate: ChatTemplate?, endTokens: Set<Int32>,
        bosToken: String?, eosToken: String?, standardSampling: SamplingParameters = SamplingParameters(),
        answerFormat: AnswerFormat? = nil
    ) {
        self.answerFormat = answerFormat ?? chatTemplate.map { AnswerFormat($0) } ?? AnswerFormat()
        markers = self.answerFormat.markers(in: tokenizer)
        constraints = ConstraintCompiler(
            tokenizer, endTokens: endTokens, markers: markers, vocabularySize: engine.vocabularySize)
        (self.engine, self.tokenizer, self.chatTemplate) = (engine, tokenizer, chatTemplate)
        (self.endTokens, self.bosToken, self.eosToken) = (endTokens, bosToken, eosToken)
        self.standardSampling = standardSampling
        let (bytes, overflow) = engine.configuration.maxRequestTokens.multipliedReportingOverflow(
            by: tokenizer.longestToken)
        longestText = overflow ? nil : max(bytes, 1 << 20)
    }

    /// Begins to generate. Throws `TokenizerError` or `RequestError` when the request can never run; nothing
    /// fails after that.
    public func generate(_ request: TextRequest) throws -> TextStream {
        let whole = try tokens(of: request.prompt)
        let tokens = try truncation.applied(
            to: whole, newTokens: request.maxNewTokens, most: engine.configuration.longestRequest,
            keeping: request.keptPrompt)
        // A part of an image means nothing.
        guard request.images.isEmpty || tokens.count == whole.count else {
            throw RequestError.tooLong(
                prompt: whole.count, newTokens: request.maxNewTokens,
                most: engine.configuration.longestRequest)
        }
        let events = try engine.submit(engineRequest(request, prompt: tokens))
        return TextStream(
            events, promptTokens: tokens, truncatedTokens: whole.count - tokens.count, request, self)
    }

    /// Throws `RequestError` when `generate` would, for these tokens of the prompt.
    public func validate(_ request: TextRequest, prompt: [Int32]) throws(RequestError) {
        try engine.validate(engineRequest(request, prompt: prompt))
    }

    /// What a reward model says of `tokens`.
    public func score(of tokens: [Int32]) async throws -> Float {
        guard engine.scoresTexts else { throw RequestError.wrongKind(generates: true) }
        var score: Float?
        for await event in try engine.submit(.score(tokens)) {
            if case .logits(let values) = event { score = values.first }
            if case .failed(let error) = event { throw error }
        }
        guard let score else { throw RequestError.engineStopped }
        return score
    }

    /// Makes the model answer once, for whatever its answer is worth.
    public func warmUp() async throws {
        try await tryOut("Hello", newTokens: 1)
    }

    /// Does what the model is for once, with `text`. Throws when there is no result.
    public func tryOut(_ text: String, newTokens: Int) async throws {
        if engine.scoresTexts {
            _ = try await score(of: tokens(of: .text(text)))
        } else if engine.embedsTexts {
            _ = try await embed([tokens(of: .text(text))]).vectors()
        } else {
            var isFinished = false
            for await event in try generate(TextRequest(prompt: .text(text), maxNewTokens: newTokens)) {
                if case .chunk(let chunk) = event { isFinished = chunk.finish != nil }
                if case .failed(let error) = event { throw error }
            }
            guard isFinished else { throw RequestError.engineStopped }
        }
    }

    public func tokens(of prompt: TextRequest.Prompt) throws(TokenizerError) -> [Int32] {
        switch prompt {
        case .tokens(let tokens): return tokens
        case .rendered(let text):
            try checkLength(text)
            return try tokenizer.encode(text, literalMark: LiteralText.mark)
        case .text(let text, let addsSpecialTokens, let parsesSpecialTokens):
            try checkLength(text)
            return try tokenizer.encode(
                text, addsSpecialTokens: addsSpecialTokens, parsesSpecialTokens: parsesSpecialTokens)
        }
    }

    private func checkLength(_ text: String) throws(TokenizerError) {
        let count = text.utf8.count
        if let longestText, truncation.mode == nil, count > longestText {
            throw .textTooLong(count, most: longestText)
        }
    }

    private func engineRequest(_ request: TextRequest, prompt: [Int32]) -> GenerationRequest {
        var result = GenerationRequest(prompt: prompt, maxNewTokens: request.maxNewTokens)
        result.sampling = request.sampling
        result.images = request.images
        result.stopSequences =
            request.stopTokens + request.stopTexts.compactMap { specialToken($0).map { [$0] } }
        (result.endTokens, result.ignoresEndTokens) = (endTokens, request.ignoresEndTokens)
        (result.terms, result.cacheSalt) = (request.terms, request.cacheSalt)
        result.constraint = request.constraint
        (result.topLogProbabilities, result.scoresPrompt) = (
            request.topLogProbabilities, request.scoresPrompt
        )
        return result
    }

    /// The special token that a stop text names, which the answer's text may not show. A space before it does
    /// not count: LightLLM's documentation has it there.
    private func specialToken(_ text: String) -> Int32? {
        let name = text.hasPrefix(" ") ? String(text.dropFirst()) : text
        return tokenizer.id(of: name).flatMap { tokenizer.isSpecial($0) ? $0 : nil }
    }

    /// The prompt for a conversation: its template's text, whose special tokens count. With
    /// `continuesFinalMessage` it ends where the last message's content does.
    public func prompt(
        _ conversation: ChatTemplate.Input, continuesFinalMessage: Bool = false
    ) throws(ChatTemplateError) -> TextRequest.Prompt {
        guard let chatTemplate else {
            throw .failed(
                "this model has no chat template; use a plain prompt, or name one with --chat_template")
        }
        var input = conversation
        let literal = LiteralText(tokenizer, imageMarks: images?.marks)
        input.messages = literal.marked(input.messages)
        if let marks = images?.marks {
            input.messages = ImageParts(chatTemplate.source, marks).flattened(input.messages)
        }
        input.tools = literal.marked(input.tools)
        input.bosToken = input.bosToken ?? bosToken
        input.eosToken = input.eosToken ?? eosToken
        guard continuesFinalMessage else { return .rendered(try chatTemplate.render(input)) }
        input.addsGenerationPrompt = false
        let text = try chatTemplate.render(input)
        let content = input.messages.array?.last?["content"]?.string ?? ""
        // Templates trim contents as they like.
        let trimmed = content.trimmingCharacters(in: .whitespacesAndNewlines)
        guard !trimmed.isEmpty, let end = text.range(of: trimmed, options: .backwards)?.upperBound else {
            throw .failed("the chat template does not show the final message's content")
        }
        return .rendered(String(text[..<end]))
    }
}

/// Keeps special tokens that a user writes from acting as such: each is marked before the template sees it,
/// and a marked one is only text to the tokenizer.
struct LiteralText {
    /// The last code point for private use: no text that is exchanged means anything by it.
    static let mark: Unicode.Scalar = "\u{10FFFD}"
    private let tokenizer: Tokenizer
    /// Texts that mean an image without being a token.
    private let tags: [(plain: String, marked: String)]

    init(_ tokenizer: Tokenizer, imageMarks: ImageMarks? = nil) {
        self.tokenizer = tokenizer
        tags = (imageMarks?.tags ?? []).map { tag in
            (tag, tag.prefix(1) + String(Self.mark) + tag.dropFirst())
        }
    }

    func marked(_ value: JSONValue) -> JSONValue {
        switch value {
        case .string(let text):
            .string(
                tags.reduce(tokenizer.marking(text, with: Self.mark)) { text, tag in
                    text.replacing(tag.plain, with: tag.marked)
                })
        case .array(let values): .array(values.map { marked($0) })
        case .object(let members): .object(members.mapValues { marked($0) })
        default: value
        }
    }
}
