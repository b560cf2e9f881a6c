import CPUBackend
import Foundation
import Layers
import Scheduling
import Serving
import Tensors
import Testing
import Weights

@testable import LightLLM

@Suite struct MemoryPlanTests {
    private var path: String {
        get throws {
            Goldens.path("models", try #require(ModelGoldenTests.names.first { $0.contains("llama") }))
        }
    }

    private var options: EngineOptions {
        var options = EngineOptions()
        (options.cacheElement, options.memoryFraction, options.threads) = (.float16, 1, 2)
        options.limits = SchedulerLimits(runningSequences: 12, tokensPerStep: 40)
        options.maxRequestTokens = 300
        return options
    }

    @Test func whatIsLeftIsTheCache() throws {
        let checkpoint = try openCheckpoint(path)
        func plan(_ available: Int, _ change: (inout EngineOptions) -> Void = { _ in }) throws -> MemoryPlan {
            var options = options
            change(&options)
            return try MemoryPlan(checkpoint, options, available: available)
        }
        let large = try plan(1 << 40)
        #expect(large.tokens == 12 * 300, "no more than the requests that run can use")
        let fixed = large.weights + large.activations
        let exact = try plan(fixed + 1000 * large.bytesPerToken)
        #expect(exact.tokens == 1000)
        try exact.requireFit()
        #expect(try plan(fixed + 1000 * large.bytesPerToken - 1).tokens == 999)
        #expect(exact.cache == 1000 * large.bytesPerToken)
        #expect(exact.requests(ofLength: 300) == 3)
        #expect(throws: EngineError.noMemory(slots: 1)) { try plan(fixed + large.bytesPerToken).requireFit() }
        #expect(throws: EngineError.noRoomForWeights(fixed, available: fixed - 1)) {
            try plan(fixed - 1).requireFit()
        }
        #expect(throws: EngineError.tooManySlots(1001, most: 1000)) {
            try plan(fixed + 1000 * large.bytesPerToken) { $0.maxTotalTokens = 1001 }.requireFit()
        }
        let half = try plan(2 * (fixed + 50 * large.bytesPerToken)) { $0.memoryFraction = 0.5 }
        #expect(half.tokens == 50)
        let bytes = try plan(1 << 40) { $0.cacheElement = .int8 }
        #expect(
            Double(large.bytesPerToken) / Double(bytes.bytesPerToken) >= 1.6, "small heads pay for scales")
    }

    /// What a server takes at its busiest is what was planned.
    @Test func thePlanIsKept() async throws {
        let checkpoint = try openCheckpoint(path)
        let plan = try MemoryPlan(checkpoint, options, available: 1 << 40)
        let backend = CPUBackend(threads: 2)
        let engine = try LoadedModel(checkpoint: checkpoint, backend: backend).makeEngine(options)
        #expect(backend.memoryUse.weights == plan.weights)
        let requests = (0..<12).map { index in
            var request = GenerationRequest(
                prompt: (0..<Int32(index == 11 ? 250 : 20)).map { $0 % 50 + 3 }, maxNewTokens: 50)
            request.ignoresEndTokens = true
            return request
        }
        for stream in try engine.submit(requests) { for await _ in stream {} }
        let taken = backend.memoryUse.activations
        #expect(taken <= plan.activations)
        #expect(Double(taken) > 0.8 * Double(plan.activations), "\(taken) of \(plan.activations)")
    }
}
