import CPUBackend
import Foundation
import JSON
import Layers
import LightLLM
import Models
import ReferenceBackend
import Serving
import Tensors
import Testing
import Tokenizers
import Weights

@Suite struct ModelGoldenTests {
    /// The recorded checkpoints.
    static let names = Goldens.folders("models", holding: "golden.json")

    /// Who computes; the reference is too slow for long prompts in a debug build.
    enum Computer: String, CaseIterable, Sendable {
        case cpu, scalar, reference

        var backend: any Backend {
            switch self {
            case .cpu: CPUBackend()
            case .scalar: CPUBackend(threads: 1, kernels: .scalar)
            case .reference: ReferenceBackend()
            }
        }
    }

    @Test func thereAreModels() { #expect(!Self.names.isEmpty) }

    /// Every architecture has a recorded checkpoint.
    @Test(.enabled(if: Goldens.areShipped))
    func coverEveryArchitecture() throws {
        let configs = try Self.names.map { try Goldens.json("models", $0, "config.json") }
        for architecture in architectures {
            let isRecorded = configs.contains { config in
                let (type, name) = (
                    config["model_type"]?.string, config["architectures"]?.array?.first?.string
                )
                return architecture.modelTypes.contains(type ?? "")
                    || architecture.classNames.contains(name ?? "")
            }
            #expect(isRecorded, "\(architecture)")
        }
    }

    @Test(arguments: names, Computer.allCases)
    func computesAsRecorded(_ name: String, by computer: Computer) async throws {
        let model = try LoadedModel(
            checkpoint: openCheckpoint(Goldens.path("models", name)), backend: computer.backend)
        for entry in try Goldens.json("models", name, "golden.json")["prompts"]?.array ?? [] {
            let (ids, greedy) = (entry["ids"]?.ids ?? [], entry["greedy"]?.ids ?? [])
            if computer == .reference, ids.count > 40 { continue }
            let engine = try model.makeScoringEngine(tokens: ids.count + greedy.count + 1)
            var request = GenerationRequest(prompt: ids, maxNewTokens: max(greedy.count, 1))
            (request.reportsLogits, request.ignoresEndTokens) = (true, true)
            request.scoresPrompt = model.network.output == .logits
            let scored = try await Scored(engine, request)
            let label = "\(name), \(ids.count) tokens, \(computer)"
            let logits = entry["last_logits"]?.floats ?? []
            #expect(scored.logits.count == logits.count, "\(label)")
            let difference = largestDifference(scored.logits, logits)
            #expect(difference <= 2e-4, "\(label)")
            if difference > 5e-5 { print("\(label): off by \(difference)") }
            #expect(engine.statistics.freeSlots == engine.statistics.totalSlots)
            guard model.network.output == .logits else { continue }
            let recorded = entry["prompt_logprobs"]?.floats ?? []
            #expect(recorded.count == ids.count - 1 && scored.promptLogProbabilities.count == recorded.count)
            #expect(
                recorded.isEmpty || largestDifference(scored.promptLogProbabilities, recorded) <= 2e-4,
                "\(label)")
            #expect(scored.ids == greedy, "\(label)")
        }
    }

    /// With a cache in float16 results are as close as those of the original computed in half precision.
    @Test(arguments: names)
    func keepsTheBoundOfHalfPrecision(_ name: String) async throws {
        let golden = try Goldens.json("models", name, "golden.json")
        guard let native = (golden["native_bfloat16"] ?? golden["native_float16"])?.array else { return }
        let model = try LoadedModel(path: Goldens.path("models", name))
        for (entry, half) in zip(golden["prompts"]?.array ?? [], native) {
            let ids = entry["ids"]?.ids ?? []
            var options = EngineOptions()
            (options.cacheElement, options.maxTotalTokens) = (.float16, ids.count + 1)
            options.maxRequestTokens = ids.count + 1
            let scored = try await Scored(model.makeEngine(options), ids, maxNewTokens: 1)
            let bound = Float(half["max_abs_diff_vs_float32"]?.double ?? 0)
            let label = "\(name), \(ids.count) tokens"
            #expect(largestDifference(scored.logits, entry["last_logits"]?.floats ?? []) <= bound, "\(label)")
            let apart = largestDifference(scored.logits, half["last_logits"]?.floats ?? [])
            #expect(apart <= 2 * bound, "\(label)")
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
