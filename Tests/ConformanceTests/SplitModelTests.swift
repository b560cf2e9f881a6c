import CPUBackend
import Foundation
import JSON
import Layers
import LightLLM
import Models
import Ranks
import Serving
import Tensors
import Testing
import Weights

/// A model that several ranks share out, as threads of this process.
struct SplitModel: Sendable {
    let checkpoint: any Checkpoint
    let size: Int
    var weightFormat: WeightFormat?
    var groups: [RankGroup]?
    /// Rank 0 looks at images; the others are given what it makes of them.
    var images: ImageOptions?

    /// Calls `body` with rank 0's engine, and ends the others in order.
    func run<Result: Sendable>(
        _ options: EngineOptions, _ body: (Engine) async throws -> Result
    ) async throws -> Result {
        let groups = groups ?? RankGroup.threads(size)
        let (checkpoint, format) = (checkpoint, weightFormat)
        let others = groups.dropFirst().map { group in
            OtherRank {
                let model = try LoadedModel(
                    checkpoint: checkpoint, backend: CPUBackend(threads: 1), weightFormat: format,
                    group: group)
                try model.follow(group, options)
            }
        }
        do {
            let model = try LoadedModel(
                checkpoint: checkpoint, backend: CPUBackend(threads: 1), weightFormat: format,
                images: images, imageBackend: images.map { _ in CPUBackend(threads: 1) },
                group: groups[0])
            let engine = try model.makeEngine(options)
            let result = try await body(engine)
            engine.stop()
            for other in others { try await other.end() }
            return result
        } catch {
            groups[0].health.fail(.rendezvous("\(error)"))
            throw error
        }
    }
}

/// A rank on a thread of its own.
private final class OtherRank: Sendable {
    private let outcome: AsyncStream<(any Error)?>

    init(_ work: @escaping @Sendable () throws -> Void) {
        let (outcome, continuation) = AsyncStream.makeStream(of: (any Error)?.self)
        self.outcome = outcome
        let thread = Thread {
            do {
                try work()
                continuation.yield(nil)
            } catch { continuation.yield(error) }
            continuation.finish()
        }
        thread.stackSize = 8 << 20
        thread.start()
    }

    func end() async throws {
        for await error in outcome { if let error { throw error } }
    }
}

@Suite struct SplitModelTests {
    private func options(tokens: Int) -> EngineOptions {
        var options = EngineOptions()
        (options.cacheElement, options.threads) = (.float32, 1)
        (options.maxTotalTokens, options.maxRequestTokens) = (tokens, tokens)
        return options
    }

    /// Greedy tokens as recorded, and logits within a thousandth.
    @Test(arguments: ModelGoldenTests.names, [2, 4])
    func computesAsRecorded(_ name: String, ranks: Int) async throws {
        let split = SplitModel(checkpoint: try openCheckpoint(Goldens.path("models", name)), size: ranks)
        let entries = try Goldens.json("models", name, "golden.json")["prompts"]?.array ?? []
        let longest = entries.map { ($0["ids"]?.ids.count ?? 0) + ($0["greedy"]?.ids.count ?? 0) + 1 }.max()
        try await split.run(options(tokens: longest ?? 2)) { engine in
            for entry in entries {
                let (ids, greedy) = (entry["ids"]?.ids ?? [], entry["greedy"]?.ids ?? [])
                var request = GenerationRequest(prompt: ids, maxNewTokens: max(greedy.count, 1))
                (request.reportsLogits, request.ignoresEndTokens) = (true, true)
                let scored = try await Scored(engine, request)
                let logits = entry["last_logits"]?.floats ?? []
                #expect(scored.logits.count == logits.count)
                let difference = relativeDifference(scored.logits, logits)
                #expect(difference <= 1e-3, "\(name), \(ids.count) tokens, \(ranks) ranks")
                if !engine.scoresTexts { #expect(scored.ids == greedy, "\(name), \(ids.count) tokens") }
                #expect(engine.statistics.freeSlots == engine.statistics.totalSlots)
            }
        }
    }
}

/// Models that see, shared out.
@Suite struct SplitVisionTests {
    /// Some have no more than three heads.
    @Test(arguments: VisionGoldenTests.names, [2, 3])
    func answersAsRecorded(_ name: String, ranks: Int) async throws {
        let golden = try VisionGolden(name)
        var requests: [GenerationRequest] = []
        for item in golden.cases {
            let prompt = try await golden.prompt(item)
            var request = GenerationRequest(prompt: prompt.tokens, maxNewTokens: item.greedy.count)
            (request.images, request.reportsLogits, request.ignoresEndTokens) = (prompt.images, true, true)
            requests.append(request)
        }
        var options = EngineOptions()
        (options.cacheElement, options.threads) = (.float32, 1)
        options.maxRequestTokens = requests.map { $0.prompt.count + $0.maxNewTokens }.max()
        options.maxTotalTokens = options.maxRequestTokens
        let split = SplitModel(
            checkpoint: try openCheckpoint(Goldens.path("vision", name)), size: ranks, images: ImageOptions())
        let results = try await split.run(options) { [requests] engine in
            var results: [Scored] = []
            for request in requests { results.append(try await Scored(engine, request)) }
            return results
        }
        for (item, scored) in zip(golden.cases, results) {
            #expect(relativeDifference(scored.logits, item.logits) <= 1e-3, "\(name), \(item.images)")
            #expect(scored.ids == item.greedy, "\(name), \(item.images)")
        }
    }
}

/// The largest difference, relative to the largest number.
private func relativeDifference(_ a: [Float], _ b: [Float]) -> Float {
    let scale = b.lazy.filter { $0 > -1e29 }.map(abs).max() ?? 1
    return largestDifference(a, b) / max(scale, 1e-6)
}
