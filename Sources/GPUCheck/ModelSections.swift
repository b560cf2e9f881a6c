import CUDABackend
import CUDARuntime
import Foundation
import JSON
import Layers
import LightLLM
import Scheduling
import Serving
import Tensors
import Weights

extension GPUCheck {
    /// Recorded models: logits, scores of prompts and greedy continuations.
    static func checkGoldens(_ backend: any Backend, _ root: String?, _ recorder: Recorder) async throws {
        guard let root else { return recorder.record("goldens", ["skipped": .string("no folder was given")]) }
        for name in try FileManager.default.contentsOfDirectory(atPath: root).sorted() {
            guard let data = FileManager.default.contents(atPath: "\(root)/\(name)/golden.json"),
                let model = try? LoadedModel(checkpoint: openCheckpoint("\(root)/\(name)"), backend: backend)
            else { continue }
            let golden = try JSONValue(parsing: Array(data))
            for entry in golden["prompts"]?.array ?? [] {
                func ids(_ key: String) -> [Int32] {
                    (entry[key]?.array ?? []).compactMap { $0.int.map { Int32($0) } }
                }
                func floats(_ key: String) -> [Float] {
                    (entry[key]?.array ?? []).compactMap { $0.double.map { Float($0) } }
                }
                let (prompt, greedy) = (ids("ids"), ids("greedy"))
                let label = "\(name), \(prompt.count) tokens"
                let found = try await score(model, prompt, maxNewTokens: greedy.count)
                // Recorded in float32; products of these models are float32 too.
                recorder.check(
                    "logits, \(label)", error: largestError(found.logits, floats("last_logits")),
                    tolerance: 5e-4)
                recorder.check(
                    "scores, \(label)", error: largestError(found.scores, floats("prompt_logprobs")),
                    tolerance: 5e-4)
                recorder.check("tokens, \(label)", found.tokens == greedy)
            }
        }
    }

    private static func score(
        _ model: LoadedModel, _ prompt: [Int32], maxNewTokens: Int
    ) async throws -> (logits: [Float], scores: [Float], tokens: [Int32]) {
        var options = EngineOptions()
        options.cacheElement = .float32
        options.maxTotalTokens = prompt.count + maxNewTokens
        options.maxRequestTokens = options.maxTotalTokens
        options.limits = SchedulerLimits(runningSequences: 8, tokensPerStep: 64)
        let engine = try model.makeEngine(options)
        var request = GenerationRequest(prompt: prompt, maxNewTokens: maxNewTokens)
        (request.scoresPrompt, request.reportsLogits, request.ignoresEndTokens) = (true, true, true)
        var (logits, scores, tokens): ([Float], [Float], [Int32]) = ([], [], [])
        for await event in try engine.submit(request) {
            switch event {
            case .prompt(let part): scores += part.compactMap(\.logProbability)
            case .logits(let values): logits = values
            case .token(let token, _): tokens.append(token.token)
            default: break
            }
        }
        return (logits, scores, tokens)
    }

    /// Steps in which every sequence generates a token, with contexts of 472 tokens.
    static func measureStep(_ backend: CUDABackend, _ recorder: Recorder) throws {
        let start = ContinuousClock.now
        let model = try LoadedModel(checkpoint: SyntheticCheckpoint(), backend: backend)
        try backend.stream.synchronize()
        recorder.record("load", ["seconds": .number((ContinuousClock.now - start) / .seconds(1))])
        let context = 472
        for element in [CacheElement.bfloat16, .int8] {
            let cache = try backend.makeCache(
                model.network.cacheLayout, slots: 128 * context, element: element)
            for batch in [1, 8, 32, 64, 128] {
                let scene = StepScene(model, cache, batch: batch, context: context)
                let seconds = scene.seconds(of: 20) { pass in backend.perform(pass) { model.network(pass) } }
                // How long the device is at it when nobody waits between steps.
                let busy =
                    try backend.stream.time { for _ in 0..<5 { scene.forward { model.network($0) } } } / 5
                let bytes =
                    Double(model.checkpoint.byteCount)
                    + Double(batch * context * model.network.cacheLayout.bytesPerToken(element))
                recorder.record(
                    "\(element) batch \(batch)",
                    [
                        "ms": .number(seconds * 1000), "device ms": .number(busy),
                        "tokens/s": .number(Double(batch) / seconds), "GB/s": .number(bytes / seconds / 1e9),
                    ])
            }
        }
    }

    /// As many requests as `seconds` allow, all there from the start, 225 tokens asked and 227 answered on average.
    static func measureService(_ backend: CUDABackend, seconds: Int, _ recorder: Recorder) async throws {
        let model = try LoadedModel(checkpoint: SyntheticCheckpoint(), backend: backend)
        for element in [CacheElement.bfloat16, .int8] {
            try await measureService(model, element, seconds: seconds / 2, recorder)
        }
    }

    private static func measureService(
        _ model: LoadedModel, _ element: CacheElement, seconds: Int, _ recorder: Recorder
    ) async throws {
        var options = EngineOptions()
        (options.cacheElement, options.maxRequestTokens) = (element, 2048)
        options.limits = SchedulerLimits(runningSequences: 512, tokensPerStep: 1024)
        options.sharesPrefixes = false
        let engine = try model.makeEngine(options)
        var random = RequestLengths(seed: 0)
        let requests = (0..<2000).map { index in
            let (prompt, answer) = random.next()
            var request = GenerationRequest(
                prompt: (0..<prompt).map { Int32((index * 7919 + $0 * 104_729) % 32_000) },
                maxNewTokens: answer)
            request.ignoresEndTokens = true
            return request
        }
        let streams = try engine.submit(requests)
        let start = ContinuousClock.now
        var last = engine.statistics
        for _ in 0..<seconds {
            try await Task.sleep(for: .seconds(1))
            last = engine.statistics
            if last.finishedRequests == requests.count { break }
        }
        let elapsed = (ContinuousClock.now - start) / .seconds(1)
        engine.stop()
        withExtendedLifetime(streams) {}
        recorder.record(
            "service \(element)",
            [
                "slots": .integer(last.totalSlots), "seconds": .number(elapsed),
                "finished": .integer(last.finishedRequests),
                "requests/s": .number(Double(last.finishedRequests) / elapsed),
                "prompt tokens/s": .number(Double(last.promptTokens) / elapsed),
                "answer tokens/s": .number(Double(last.generatedTokens) / elapsed),
                "steps": .integer(last.steps),
                "ms a step": .number(1000 * elapsed / Double(max(last.steps, 1))),
            ])
    }
}

/// Lengths of prompts and answers as ShareGPT has them: cut log-normals.
struct RequestLengths {
    private var random: SeededGenerator

    init(seed: UInt64) { random = SeededGenerator(seed: seed) }

    mutating func next() -> (prompt: Int, answer: Int) {
        while true {
            let (prompt, answer) = (Int(exp(5.1 + 1.45 * normal())), Int(exp(4.95 + 1.05 * normal())))
            if (4...1024).contains(prompt), answer >= 4, prompt + answer <= 2048 { return (prompt, answer) }
        }
    }

    private mutating func normal() -> Double {
        let (a, b) = (random.nextUnit(), random.nextUnit())
        return (-2 * log(1 - a)).squareRoot() * cos(2 * Double.pi * b)
    }
}
