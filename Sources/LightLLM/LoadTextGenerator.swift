import ChatTemplates
import Foundation
import JSON
import Layers
import OrderedCollections
public import Ranks
public import Serving
import Tensors
public import TextGeneration
public import Tokenizers
public import ToolCalls
public import Weights

/// How a model is loaded for text.
public struct TextOptions: Sendable {
    public var engine = EngineOptions()
    /// Replaces the tokens that the checkpoint says end an answer.
    public var endTokens: [Int32]?
    /// Replaces the checkpoint's chat template.
    public var chatTemplate: String?
    /// How the model writes calls of tools; by default as its chat template shows.
    public var toolCallFormat: ToolCallFormat?
    /// How it marks what it says to itself; by default as its chat template shows.
    public var reasoningFormat: ReasoningFormat?
    /// Replaces what the checkpoint says of how texts become vectors.
    public var pooling: Pooling?
    /// How prompts that are too long are shortened; by default they are refused.
    public var truncation = PromptTruncation()

    public init() {}
}

/// A model ready to generate text, and how long each phase of loading took.
public struct LoadedTextModel: Sendable {
    public let generator: TextGenerator
    /// What the configuration calls the architecture.
    public let modelType: String
    public let backendName: String
    public let phases: [(name: String, seconds: Double)]

    /// Loads the Hugging Face folder or GGUF file at `path`. Throws an error that names what was expected and
    /// found when anything about it is wrong. The other ranks of `group` compute its engine's steps too.
    public init(path: String, options: TextOptions = TextOptions(), group: RankGroup? = nil) throws {
        var clock = PhaseClock()
        let checkpoint = try openCheckpoint(path)
        clock.end("open")
        let text = try TextParts(checkpoint, options)
        clock.end("tokenizer")
        let model = try LoadedModel(
            checkpoint: checkpoint, device: options.engine.device, threads: options.engine.threads,
            graphs: options.engine.graphs, weightFormat: options.engine.weightFormat,
            head: options.engine.head,
            images: options.engine.images, group: group)
        clock.end("model")
        let engine = try model.makeEngine(options.engine)
        clock.end("engine")
        var generator = TextGenerator(
            engine: engine, tokenizer: text.tokenizer, chatTemplate: text.chatTemplate,
            endTokens: text.endTokens,
            bosToken: text.bosToken, eosToken: text.eosToken,
            standardSampling: SamplingParameters(generationConfiguration: checkpoint.generationConfiguration),
            answerFormat: text.answerFormat(options))
        if options.engine.head == .none {
            generator.embeddingStyle = try EmbeddingStyle(folder: checkpoint.path)
            if let pooling = options.pooling { generator.embeddingStyle.pooling = pooling }
        }
        generator.truncation = options.truncation
        generator.images = model.makeImageStage()
        self.generator = generator
        modelType = checkpoint.configuration["model_type"]?.string ?? "unknown"
        (backendName, phases) = (model.backend.name, clock.phases)
    }
}

private struct PhaseClock {
    private(set) var phases: [(name: String, seconds: Double)] = []
    private var last = ContinuousClock.now

    mutating func end(_ name: String) {
        let now = ContinuousClock.now
        phases.append((name, (now - last) / .seconds(1)))
        last = now
    }
}

/// What a checkpoint says about text.
private struct TextParts {
    let tokenizer: Tokenizer
    var chatTemplate: ChatTemplate?
    var endTokens: Set<Int32>
    var bosToken: String?
    var eosToken: String?

    init(_ checkpoint: any Checkpoint, _ options: TextOptions) throws {
        tokenizer = try LightLLM.tokenizer(of: checkpoint)
        let source: String?
        if let metadata = checkpoint.metadata {
            source = metadata.string("tokenizer.chat_template")
            bosToken = metadata.token("tokenizer.ggml.bos_token_id")
            eosToken = metadata.token("tokenizer.ggml.eos_token_id")
        } else {
            let folder = try TokenizerFolder(path: checkpoint.path)
            source = try folder.chatTemplate()
            (bosToken, eosToken) = (folder.specialToken("bos_token"), folder.specialToken("eos_token"))
        }
        chatTemplate = try (options.chatTemplate ?? source).map { (text) throws in try ChatTemplate(text) }
        endTokens = options.endTokens.map(Set.init) ?? Self.endTokens(checkpoint)
    }

    /// How answers are put together: what the options say, or else the template.
    func answerFormat(_ options: TextOptions) -> AnswerFormat {
        var format = chatTemplate.map { AnswerFormat($0) } ?? AnswerFormat()
        format.tools = options.toolCallFormat ?? format.tools
        format.reasoning = options.reasoningFormat ?? format.reasoning
        return format
    }

    /// The end tokens of config.json, generation_config.json or the GGUF header together.
    private static func endTokens(_ checkpoint: any Checkpoint) -> Set<Int32> {
        var ids: [Int] = []
        for entry in [
            checkpoint.textConfiguration["eos_token_id"], checkpoint.generationConfiguration?["eos_token_id"],
        ] {
            if let id = entry?.int { ids.append(id) }
            ids += (entry?.array ?? []).compactMap(\.int)
        }
        for key in ["eos_token_id", "eot_token_id", "eom_token_id"] {
            if let id = checkpoint.metadata?.integer("tokenizer.ggml." + key) { ids.append(id) }
        }
        return Set(ids.compactMap { Int32(exactly: $0) })
    }
}

/// The tokenizer that belongs to a checkpoint.
public func tokenizer(of checkpoint: any Checkpoint) throws -> Tokenizer {
    if let metadata = checkpoint.metadata { return try GGUFVocabulary(metadata).makeTokenizer() }
    return try TokenizerFolder(path: checkpoint.path).makeTokenizer()
}

extension GGUFVocabulary {
    /// The tokenizer's part of a GGUF header.
    public init(_ metadata: GGUFMetadata) throws(TokenizerError) {
        guard let tokens = metadata.strings("tokenizer.ggml.tokens") else {
            throw .malformed("GGUF: tokenizer.ggml.tokens is missing")
        }
        self.init(model: metadata.string("tokenizer.ggml.model") ?? "none", tokens: tokens)
        pre = metadata.string("tokenizer.ggml.pre")
        scores = metadata.floats("tokenizer.ggml.scores")
        types = metadata.integers("tokenizer.ggml.token_type")
        merges = metadata.strings("tokenizer.ggml.merges")
        bos = metadata.integer("tokenizer.ggml.bos_token_id")
        eos = metadata.integer("tokenizer.ggml.eos_token_id")
        unknown = metadata.integer("tokenizer.ggml.unknown_token_id")
        addsBOS = metadata.bool("tokenizer.ggml.add_bos_token")
        addsEOS = metadata.bool("tokenizer.ggml.add_eos_token")
        addsSpacePrefix = metadata.bool("tokenizer.ggml.add_space_prefix")
        removesExtraSpaces = metadata.bool("tokenizer.ggml.remove_extra_whitespaces")
        characterMap = metadata.integers("tokenizer.ggml.precompiled_charsmap")?.map {
            UInt8(truncatingIfNeeded: $0)
        }
    }
}

extension GGUFMetadata {
    /// The token whose id is the value of `key`.
    fileprivate func token(_ key: String) -> String? {
        guard let id = integer(key), let tokens = strings("tokenizer.ggml.tokens"),
            tokens.indices.contains(id)
        else {
            return nil
        }
        return tokens[id]
    }
}

extension SamplingParameters {
    /// The defaults that generation_config.json sets; where the file exists Hugging Face fills in the rest.
    init(generationConfiguration json: JSONValue?) {
        self.init()
        guard let json else { return }
        if json["do_sample"]?.bool ?? false { temperature = Float(json["temperature"]?.double ?? 1) }
        topK = json["top_k"]?.int ?? 50
        if topK ?? 0 <= 0 { topK = nil }
        topP = Float(json["top_p"]?.double ?? 1)
        minP = Float(json["min_p"]?.double ?? 0)
        repetitionPenalty = Float(json["repetition_penalty"]?.double ?? 1)
    }
}

/// The tokenizer of a Hugging Face folder or GGUF file; reads no weights.
public func tokenizer(ofModelAt path: String) throws -> Tokenizer {
    var isFolder: ObjCBool = false
    let exists = FileManager.default.fileExists(atPath: path, isDirectory: &isFolder)
    if exists, isFolder.boolValue { return try TokenizerFolder(path: path).makeTokenizer() }
    return try tokenizer(of: openCheckpoint(path))
}

/// The chat template of the Hugging Face folder or GGUF file at `path`, without loading the model.
public func chatTemplate(ofModelAt path: String) throws -> String? {
    if let template = try? TokenizerFolder(path: path).chatTemplate() { return template }
    return try openCheckpoint(path).metadata?.string("tokenizer.chat_template")
}
