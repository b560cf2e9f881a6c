import Foundation
import JSON
import Layers
import LightLLM
import Scheduling
import Serving
public import Tensors
import Weights

extension GPUCheck {
    /// Recorded models, with a cache of float32 and of float16: logits, scores of prompts and greedy continuations. All
    /// of `root`, or those of `names`.
    public static func checkGoldens(
        _ backend: any Backend, _ root: String?, names: [String]? = nil, _ recorder: Recorder
    ) async throws {
        guard let root else { return recorder.record("goldens", ["skipped": .string("no folder was given")]) }
        let all = try names ?? FileManager.default.contentsOfDirectory(atPath: root).sorted()
        for name in all {
            guard let data = FileManager.default.contents(atPath: "\(root)/\(name)/golden.json") else {
                continue
            }
            let golden = try JSONValue(parsing: Array(data))
            do {
                let checkpoint = try openCheckpoint("\(root)/\(name)")
                let model = try LoadedModel(checkpoint: checkpoint, backend: backend)
                for element in [CacheElement.float32, .float16] {
                    let check = try GoldenCheck(model, element, recorder)
                    for entry in golden["prompts"]?.array ?? [] {
                        try await check.run(entry, "\(name), cache \(element)")
                    }
                }
            } catch {
                recorder.record(name, ["error": .string("\(error)")])
                recorder.check("runs, \(name)", false)
            }
        }
    }
}

/// A recorded model against what was recorded of it, in float32.
private struct GoldenCheck {
    private let model: LoadedModel
    private let element: CacheElement
    private let recorder: Recorder
    private let tolerance: Tolerance

    /// How far logits and logarithms of probabilities may be from what was recorded.
    private enum Tolerance {
        /// Each, relative to those above 1.
        case each(Double)
        /// The root of the mean square of the differences, relative to that of what was recorded. Rounding moves all of
        /// them at random, and of many a few by far more than the others.
        case mean(Double)

        init(_ encodings: Set<Encoding>, _ element: CacheElement) {
            // Products round activations to the type of the weights. On the host's device models with bfloat16 weights,
            // which have 8 bits, came within 0.013, a mixture of experts within 0.018; float16 has 11 bits, and came
            // within 0.001. One wrong detail of a model mostly gives 0.1 to 1.
            if encodings.contains(.bfloat16) {
                self = .mean(0.025)
            } else if encodings.contains(.float16) {
                self = .mean(0.003)
            } else {
                // A cache in float16 rounds keys and values alone, which gave 0.0008.
                self = element == .float32 ? .each(5e-4) : .mean(2e-3)
            }
        }

        func error(_ found: [Float], _ recorded: [Float]) -> Double {
            switch self {
            case .each: largestError(found, recorded)
            case .mean: meanError(found, recorded)
            }
        }

        var limit: Double {
            switch self {
            case .each(let limit), .mean(let limit): limit
            }
        }

        /// How far the likeliest token is to be from the next, to be the likeliest for certain.
        func margin(_ logits: [Float]) -> Double {
            let squares = logits.reduce(0) { $0 + Double($1 * $1) } / Double(max(logits.count, 1))
            let largest = logits.map { Double(abs($0)) }.max() ?? 0
            return switch self {
            case .each(let limit): 2 * limit * max(1, largest)
            // Both may move; three times what they do on average, each.
            case .mean(let limit): 3 * 2.0.squareRoot() * limit * squares.squareRoot()
            }
        }
    }

    init(_ model: LoadedModel, _ element: CacheElement, _ recorder: Recorder) throws {
        (self.model, self.element, self.recorder) = (model, element, recorder)
        var encodings: Set<Encoding> = []
        for name in model.checkpoint.tensorNames {
            if let tensor = try model.checkpoint.tensor(name) { encodings.insert(tensor.encoding) }
        }
        tolerance = Tolerance(encodings, element)
    }

    func run(_ entry: JSONValue, _ name: String) async throws {
        func numbers(_ key: String) -> [Float] {
            (entry[key]?.array ?? []).compactMap { $0.double.map { Float($0) } }
        }
        func tokens(_ key: String) -> [Int32] {
            (entry[key]?.array ?? []).compactMap { $0.int.map { Int32($0) } }
        }
        let (prompt, greedy, logits) = (tokens("ids"), tokens("greedy"), numbers("last_logits"))
        let label = "\(name), \(prompt.count) tokens"
        let found = try await answer(prompt, maxNewTokens: greedy.count)
        func compare(_ what: String, _ found: [Float], _ recorded: [Float]) {
            recorder.check(
                "\(what), \(label)", error: tolerance.error(found, recorded), tolerance: tolerance.limit)
        }
        compare("logits", found.logits, logits)
        guard !greedy.isEmpty else { return }
        compare("scores", found.scores, numbers("prompt_logprobs"))
        // Where the second is as near as both may be off, it may come first, and everything after it differs. Where
        // margins were not recorded ours serve: as near to each other in one, so in the other.
        let recorded = numbers("greedy_margin_top1_top2")
        let margins = recorded.isEmpty ? found.margins : recorded
        let needed = tolerance.margin(logits)
        let certain = margins.firstIndex { Double($0) < needed } ?? greedy.count
        recorder.check(
            "tokens, \(label)", found.tokens.prefix(certain) == greedy.prefix(certain),
            ["compared": .integer(certain), "of": .integer(greedy.count)])
    }

    private struct Answer {
        var logits: [Float] = []
        var scores: [Float] = []
        var tokens: [Int32] = []
        /// Between the likeliest token and the next.
        var margins: [Float] = []
    }

    private func answer(_ prompt: [Int32], maxNewTokens: Int) async throws -> Answer {
        var options = EngineOptions()
        options.cacheElement = element
        options.maxTotalTokens = prompt.count + max(1, maxNewTokens)
        options.maxRequestTokens = options.maxTotalTokens
        options.limits = SchedulerLimits(runningSequences: 8, tokensPerStep: 64)
        let engine = try model.makeEngine(options)
        var request = GenerationRequest.score(prompt)
        if !engine.scoresTexts {
            request.maxNewTokens = maxNewTokens
            (request.scoresPrompt, request.ignoresEndTokens, request.topLogProbabilities) = (true, true, 2)
        }
        var answer = Answer()
        for await event in try engine.submit(request) {
            switch event {
            case .prompt(let part): answer.scores += part.compactMap(\.logProbability)
            case .logits(let values): answer.logits = values
            case .token(let token, _):
                answer.tokens.append(token.token)
                let top = token.top.map(\.logProbability)
                answer.margins.append(top.count == 2 ? top[0] - top[1] : 0)
            case .failed(let error): throw error
            case .started: break
            }
        }
        return answer
    }
}
