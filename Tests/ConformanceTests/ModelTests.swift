import Foundation
import JSON
import Layers
import LightLLM
import Models
import Serving
import Testing
import Tokenizers

@Suite struct ModelGoldenTests {
    /// The recorded checkpoints of architectures that exist here.
    static let names = Goldens.folders("models", holding: "golden.json").filter { name in
        let type = try? Goldens.json("models", name, "config.json")["model_type"]?.string
        return architectures.contains { $0.modelTypes.contains(type ?? "") }
    }

    @Test func thereAreModels() { #expect(!Self.names.isEmpty) }

    @Test(arguments: names)
    func computesAsRecorded(_ name: String) async throws {
        let model = try LoadedModel(path: Goldens.path("models", name))
        for entry in try Goldens.json("models", name, "golden.json")["prompts"]?.array ?? [] {
            let (ids, greedy) = (entry["ids"]?.ids ?? [], entry["greedy"]?.ids ?? [])
            let engine = try model.makeScoringEngine(tokens: ids.count + greedy.count)
            let scored = try await Scored(engine, ids, maxNewTokens: greedy.count)
            let label = "\(name), \(ids.count) tokens"
            let logits = entry["last_logits"]?.floats ?? []
            #expect(scored.logits.count == logits.count, "\(label)")
            #expect(largestDifference(scored.logits, logits) <= 2e-4, "\(label)")
            let recorded = entry["prompt_logprobs"]?.floats ?? []
            #expect(recorded.count == ids.count - 1 && scored.promptLogProbabilities.count == recorded.count)
            #expect(
                recorded.isEmpty || largestDifference(scored.promptLogProbabilities, recorded) <= 2e-4,
                "\(label)")
            #expect(scored.ids == greedy, "\(label)")
            #expect(engine.statistics.freeSlots == engine.statistics.totalSlots)
        }
    }

    @Test(
        arguments: names.filter {
            FileManager.default.fileExists(atPath: Goldens.path("models", $0, "tokenizer.json"))
        })
    func continuesTextAsRecorded(_ name: String) async throws {
        let path = Goldens.path("models", name)
        let (model, tokenizer) = (
            try LoadedModel(path: path), try TokenizerFolder(path: path).makeTokenizer()
        )
        for entry in try Goldens.json("models", name, "golden.json")["text"]?["cases"]?.array ?? [] {
            let ids = try tokenizer.encode(entry["text"]?.string ?? "", parsesSpecialTokens: true)
            #expect(ids == entry["ids"]?.ids)
            let greedy = entry["greedy"]?.ids ?? []
            let engine = try model.makeScoringEngine(tokens: ids.count + greedy.count)
            let answer = try await Scored(engine, ids, maxNewTokens: greedy.count).ids
            #expect(answer == greedy, "\(name): \(entry["text"]?.string ?? "")")
            #expect(tokenizer.decode(answer) == entry["continuation"]?.string)
        }
    }
}
