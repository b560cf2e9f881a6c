extension Tokenizer {
    /// The tokenizer of a tokenizer.model, as the class that tokenizer_config.json names uses it.
    /// `modelType` is config.json's.
    init(
        _ model: SentencePiece, _ configuration: TokenizerConfiguration, modelType: String? = nil
    ) throws(TokenizerError) {
        switch configuration.tokenizerClass {
        case "ChatGLMTokenizer", "ChatGLM4Tokenizer": self.init(try Self.chatGLM(model, configuration))
        case "T5Tokenizer": self.init(try Self.t5(model, configuration))
        default:
            var model = model
            let hasPrefix = model.addsDummyPrefix
            // transformers 5 reads a bare tokenizer.model of these with its generic class, which adds no prefix.
            if ["mistral", "mixtral", "phi3"].contains(modelType) { model.addsDummyPrefix = false }
            self.init(try Self.llama(model, configuration, hasPrefix: hasPrefix))
        }
    }

    /// The added tokens that pieces make, as tokenizer_config.json would have them.
    private static func completed(
        _ tokens: [AddedToken], _ configuration: TokenizerConfiguration, _ vocabulary: Vocabulary
    ) -> [AddedToken] {
        let configured = Dictionary(
            configuration.addedTokens.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
        var special = Set(configuration.specialContents)
        if configuration.tokenizerClass == "GemmaTokenizer" {
            special.formUnion(["<start_of_turn>", "<end_of_turn>"])
        }
        let own = tokens.map { token in
            var result = configured[token.id] ?? token
            result.isSpecial = result.isSpecial || token.isSpecial || special.contains(token.content)
            return result
        }
        return configuration.completing(own) { vocabulary.id(of: $0) }
    }

    private static func llama(
        _ model: SentencePiece, _ configuration: TokenizerConfiguration, hasPrefix: Bool
    ) throws(TokenizerError) -> Parts {
        var parts = try model.makeParts(additional: configuration.addedTokens)
        let vocabulary = parts.model.vocabulary
        parts.addedTokens = completed(parts.addedTokens, configuration, vocabulary)
        func id(_ key: String, _ standard: Int32?) -> [Int32] {
            let named = configuration.specialToken(key).flatMap { vocabulary.id(of: $0) }
            return (named ?? standard).map { [$0] } ?? []
        }
        if configuration.addsBOS ?? true { parts.prefix = id("bos_token", model.bos) }
        if configuration.addsEOS ?? false { parts.suffix = id("eos_token", model.eos) }
        // InternLM's repositories name their own class, or LLaMA's, whose models always have the prefix.
        let name = configuration.tokenizerClass
        if name.hasPrefix("InternLM") || (name == "LlamaTokenizer" && !hasPrefix) {
            parts.decoder.tidiesText = true
            parts.decoder.fallbackRuns = .characters
        }
        return parts
    }

    /// ChatGLM: special tokens lie beyond the pieces, only its templates name them, and they never show.
    private static func chatGLM(
        _ model: SentencePiece, _ configuration: TokenizerConfiguration
    ) throws(TokenizerError) -> Parts {
        let first = Int32(clamping: model.pieces.count)
        var additional = ["[MASK]", "[gMASK]", "[sMASK]", "sop", "eop"].enumerated().map {
            AddedToken(id: first + Int32($0), content: $1, isSpecial: true, isForTemplates: true)
        }
        additional += configuration.addedTokens.filter { token in
            !additional.contains { $0.id == token.id || $0.content == token.content }
        }
        var parts = try model.makeParts(additional: additional)
        let control = parts.addedTokens.map { token in
            var token = token
            token.isForTemplates = token.isSpecial
            return token
        }
        parts.addedTokens = control + additional
        parts.prefix = [first + 1, first + 3]
        parts.decoder.fallbackRuns = .characters
        return parts
    }

    /// T5: words are cut at white space of any kind, and a text ends with the end token.
    private static func t5(
        _ model: SentencePiece, _ configuration: TokenizerConfiguration
    ) throws(TokenizerError) -> Parts {
        let mark = Array("▁".utf8)
        // The class adds special tokens that the file lacks at its end.
        var additional = configuration.addedTokens
        let listed = Set(model.pieces + additional.map(\.content))
        for content in configuration.specialContents where !listed.contains(content) {
            let id = max(model.pieces.count, (additional.map { Int($0.id) }.max() ?? -1) + 1)
            additional.append(AddedToken(id: Int32(clamping: id), content: content, isSpecial: true))
        }
        var parts = try model.makeParts(additional: additional)
        let vocabulary = parts.model.vocabulary
        parts.addedTokens = completed(parts.addedTokens, configuration, vocabulary)
        parts.normalizer = model.characterMap.map { .precompiled($0, .clusters) }
        parts.preTokenizer = .sequence([
            .split(.known(.spaces), .removed, inverted: false),
            .metaspace(mark: mark, prepends: .always, splits: true),
        ])
        // The class takes token 2 for the unknown one, as T5's vocabulary has it, whatever the file says.
        parts.model = try model.makeModel(vocabulary, unknown: model.pieces.count > 2 ? 2 : nil)
        parts.decoder = TokenDecoder(steps: [.metaspace(mark: mark, stripsFirst: true)])
        let end = configuration.specialToken("eos_token").flatMap { vocabulary.id(of: $0) } ?? model.eos
        parts.suffix = end.map { [$0] } ?? []
        return parts
    }
}
