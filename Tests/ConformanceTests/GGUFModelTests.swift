import Foundation
import JSON
import LightLLM
import Testing

/// Recorded models as llama.cpp's converter writes them compute what the original does.
@Suite struct GGUFModelTests {
    /// Files whose names are those of recorded models: the shipped ones, or those in the folder that
    /// `LIGHTLLM_GGUF` names.
    static let folder: URL = {
        if let path = ProcessInfo.processInfo.environment["LIGHTLLM_GGUF"], !path.isEmpty {
            return URL(fileURLWithPath: path)
        }
        return URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("Fixtures/goldens/gguf")
    }()

    static let names = ((try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []).sorted()
        .filter { $0.hasSuffix(".gguf") }.map { String($0.dropLast(5)) }
        .filter { ModelGoldenTests.names.contains($0) }

    @Test(.enabled(if: Goldens.areShipped)) func thereAreFiles() { #expect(!Self.names.isEmpty) }

    @Test(arguments: names)
    func computesAsTheOriginal(_ name: String) async throws {
        let model = try LoadedModel(path: Self.folder.appendingPathComponent(name + ".gguf").path)
        let config = try Goldens.json("models", name, "config.json")
        for entry in try Goldens.json("models", name, "golden.json")["prompts"]?.array ?? [] {
            let ids = entry["ids"]?.ids ?? []
            if cannotSay(config, tokens: ids.count) { continue }
            let scored = try await Scored(
                model.makeScoringEngine(tokens: ids.count + 1), ids, maxNewTokens: 1)
            let difference = largestDifference(scored.logits, entry["last_logits"]?.floats ?? [])
            #expect(difference <= 2e-4, "\(name), \(ids.count) tokens")
            #expect(scored.ids.first == entry["greedy"]?.ids.first, "\(name), \(ids.count) tokens")
        }
    }

    /// What the converter loses: windows of most families, which layers of Gemma 3 have one, what depends on a
    /// sequence's length, and exact GELU.
    private func cannotSay(_ config: JSONValue, tokens: Int) -> Bool {
        let type = config["model_type"]?.string ?? ""
        if ["mistral", "qwen2", "starcoder2"].contains(type), let window = config["sliding_window"]?.int {
            return tokens > window
        }
        if let trained = config["seq_length"]?.int, type == "qwen" { return tokens > trained }
        if config["rope_scaling"]?["type"]?.string == "dynamic" {
            return tokens > config["max_position_embeddings"]?.int ?? 0
        }
        if type == "gemma3_text" { return config["sliding_window_pattern"]?.int != 6 }
        return config["activation_function"]?.string == "gelu"
    }
}
