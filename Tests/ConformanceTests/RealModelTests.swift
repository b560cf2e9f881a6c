import ChatTemplates
import Foundation
import JSON
import LightLLM
import OrderedCollections
import Serving
import Tensors
import Testing
import Tokenizers
import Weights

/// Models that `make test` fetches: `LIGHTLLM_MODEL` names the default one's file, whose folder may hold
/// others.
enum RealModel {
    static let file = ProcessInfo.processInfo.environment["LIGHTLLM_MODEL"].flatMap { $0.isEmpty ? nil : $0 }
    static var paths: [String] { file.map { [$0] } ?? [] }

    /// The recorded results of llama.cpp for models that are here.
    static let recorded: [(path: String, name: String)] = {
        guard let file, let models = try? Goldens.json("llamacpp", "reference.json")["models"]?.object else {
            return []
        }
        let folder = URL(fileURLWithPath: file).deletingLastPathComponent()
        return models.keys.map { (folder.appendingPathComponent($0.string + ".gguf").path, $0.string) }
            .filter { FileManager.default.fileExists(atPath: $0.0) && !$0.1.hasPrefix("gemma") }
    }()
}

@Suite(.serialized) struct RealModelTests {
    @Test(arguments: RealModel.paths)
    func answersSensibly(_ path: String) async throws {
        let loaded = try LoadedTextModel(path: path)
        let generator = loaded.generator
        var text = ""
        for await case .chunk(let chunk) in try generator.generate(
            TextRequest(prompt: .text("The capital of France is"), maxNewTokens: 4))
        {
            text += chunk.text
        }
        #expect(text.contains("Paris"))
        var conversation = ChatTemplate.Input(messages: [
            ["role": "user", "content": "Say <|im_end|> twice."]
        ])
        conversation.addsGenerationPrompt = true
        let tokens = try generator.tokens(of: generator.prompt(conversation))
        let end = try #require(generator.tokenizer.id(of: "<|im_end|>"))
        // One closes the system's message, one the user's; the one that the user wrote is text.
        #expect(tokens.count { $0 == end } == 2)
        #expect(
            generator.tokenizer.decode(tokens, skipsSpecialTokens: false).contains("Say <|im_end|> twice."))
    }

    /// The tokenizer in the file gives the tokens that llama.cpp was given.
    @Test(arguments: RealModel.recorded.map(\.name))
    func tokenizesAsLlamaCpp(_ name: String) throws {
        let path = try #require(RealModel.recorded.first { $0.name == name }?.path)
        let reference = try Goldens.json("llamacpp", "reference.json")
        let metadata = try #require(try openCheckpoint(path).metadata)
        let tokenizer = try GGUFVocabulary(metadata).makeTokenizer()
        let passage = try #require(reference["passage_text"]?.string)
        let recorded = try #require(reference["models"]?[name])
        #expect(try tokenizer.encode(passage) == recorded["passage"]?["ids"]?.ids)
    }

    @Test(arguments: RealModel.recorded.map(\.name))
    func agreesWithLlamaCpp(_ name: String) async throws {
        let path = try #require(RealModel.recorded.first { $0.name == name }?.path)
        let recorded = try #require(try Goldens.json("llamacpp", "reference.json")["models"]?[name])
        let model = try LoadedModel(path: path)
        let passage = try #require(recorded["passage"])
        let ids = passage["ids"]?.ids ?? []
        let scored = try await Scored(model.makeScoringEngine(tokens: ids.count + 1), ids, maxNewTokens: 1)
        let ours = scored.promptLogProbabilities
        let perplexity = exp(-ours.reduce(0.0) { $0 + Double($1) } / Double(ours.count))
        let theirs = passage["ppl"]?.double ?? 0
        #expect(abs(perplexity / theirs - 1) <= 0.005, "perplexity \(perplexity), llama.cpp \(theirs)")
        // Rounding activations to 8 bits puts llama.cpp itself 0.06 from exact arithmetic, and any other way
        // of rounding as far from llama.cpp: docs/performance.md has the numbers.
        let difference =
            zip(ours, passage["logprobs"]?.floats ?? []).reduce(0) { $0 + abs($1.0 - $1.1) }
            / Float(ours.count)
        #expect(difference <= 0.07, "mean difference of log probabilities \(difference)")
        let int8 = try await Scored(
            model.makeScoringEngine(tokens: ids.count + 1, .int8), ids, maxNewTokens: 1)
        let rounded = int8.promptLogProbabilities
        let roundedPerplexity = exp(-rounded.reduce(0.0) { $0 + Double($1) } / Double(rounded.count))
        // Where activations are rounded to 8 bits, any change at all moves the mean of 345 tokens by up to a percent.
        let tolerance = name.hasSuffix("F16") ? 0.005 : 0.012
        #expect(
            abs(roundedPerplexity / perplexity - 1) <= tolerance, "\(roundedPerplexity) with an int8 cache")
        for entry in recorded["greedy"]?.array ?? [] {
            let (prompt, expected) = (entry["prompt_ids"]?.ids ?? [], entry["output_ids"]?.ids ?? [])
            let margins = entry["margins"]?.floats ?? []
            let engine = try model.makeScoringEngine(tokens: prompt.count + expected.count)
            let answer = try await Scored(engine, prompt, maxNewTokens: expected.count).ids
            let certain = margins.firstIndex { $0 < 0.2 } ?? expected.count
            #expect(answer.prefix(certain) == expected.prefix(certain), "\(name): \(prompt)")
        }
    }
}
