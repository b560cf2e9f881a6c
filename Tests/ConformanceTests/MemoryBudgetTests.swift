import Foundation
import Layers
import Scheduling
import Tensors
import Testing

@testable import LightLLM

@Suite struct MemoryBudgetTests {
    /// The weights are in memory when the budget is made, so what is available lacks them already: they count once.
    @Test func weightsCountOnce() throws {
        let model = try LoadedModel(path: Goldens.path("models", try #require(ModelGoldenTests.names.first)))
        var options = EngineOptions()
        (options.cacheElement, options.memoryFraction) = (.float16, 1)
        let perToken = model.network.cacheLayout.bytesPerToken(.float16)
        let activations = 4 * options.limits.tokensPerStep * model.network.vocabularySize + (128 << 20)
        let budget = MemoryBudget(available: activations + 1000 * perToken)
        func slots(weights: Int) -> Int {
            budget.slots(for: model.network, weightBytes: weights, options, most: .max)
        }
        #expect(slots(weights: 0) == 1000)
        // More weights than is left do not matter, as they are not still to come.
        #expect(slots(weights: 8 << 30) == 1000)
        #expect(throws: EngineError.noRoomForWeights(1001, available: 1000)) {
            try MemoryBudget(available: 1000).requireRoom(forWeights: 1001)
        }
        try MemoryBudget(available: 1000).requireRoom(forWeights: 1000)
        try MemoryBudget(available: nil).requireRoom(forWeights: .max)
        options.memoryFraction = 0.5
        #expect(slots(weights: 0) == 0)
        #expect(slots(weights: 8 << 30) == 0)
    }
}
