import Foundation
import JSON
import LightLLM
import OrderedCollections
import Serving
import StructuredOutput
import Testing
import TextGeneration

/// A model whose weights are random, and a thousand random schemas: whatever it says to its end is valid.
@Suite struct RandomWeightTests {
    private enum Outcome { case valid, cutOff, refused }

    @Test func everyDocumentIsValid() async throws {
        let path = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("Fixtures/goldens/models/tiny_llama").path
        var options = TextOptions()
        (options.engine.maxTotalTokens, options.engine.maxRequestTokens, options.engine.threads) = (
            8192, 512, 2
        )
        let generator = try LoadedTextModel(path: path, options: options).generator
        var counts: [Outcome: Int] = [:]
        try await withThrowingTaskGroup(of: Outcome.self) { group in
            for seed in 0..<1000 {
                if seed >= 32, let outcome = try await group.next() { counts[outcome, default: 0] += 1 }
                group.addTask { try await Self.outcome(of: seed, generator) }
            }
            for try await outcome in group { counts[outcome, default: 0] += 1 }
        }
        #expect(counts.values.reduce(0, +) == 1000)
        #expect(counts[.valid, default: 0] > 500, "\(counts)")
        let statistics = generator.engine.statistics
        #expect(statistics.failedRequests == 0 && statistics.freeSlots == statistics.totalSlots)
    }

    private static func outcome(of seed: Int, _ generator: TextGenerator) async throws -> Outcome {
        var maker = RandomSchemaTests.Maker(random: Random(seed: seed + 1))
        let schema = maker.document()
        let compiled: CompiledConstraint
        do throws(StructuredOutputError) {
            compiled = try generator.constraints.compiled(.jsonSchema(schema))
        } catch {
            #expect(
                error.code == .unsatisfiable || error.code == .unsupported, "\(schema.serialized): \(error)")
            return .refused
        }
        var request = TextRequest(prompt: .text("seed \(seed)"), maxNewTokens: 400)
        (request.sampling.temperature, request.sampling.seed) = (1, UInt64(seed))
        request.constraint = GrammarConstraint(compiled.grammar)
        request.detokenization.continuesText = true
        var (text, finish): (String, FinishReason?) = ("", nil)
        for await event in try generator.generate(request) {
            switch event {
            case .chunk(let chunk):
                text += chunk.text
                finish = chunk.finish
            case .failed(let error): throw error
            case .started, .prompt: break
            }
        }
        guard finish == .stop else { return .cutOff }
        let document = try JSONValue(parsing: text)
        #expect(throws: Never.self, "\(schema.serialized): \(text)") {
            try JSONSchemaValidator(schema).validate(document)
        }
        return .valid
    }
}
