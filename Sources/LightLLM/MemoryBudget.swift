import Foundation
import Layers
import Scheduling
import Tensors

/// Decides how many token slots fit the machine.
struct MemoryBudget {
    /// Bytes that could be had without swapping; nil where the system does not say.
    let available: Int?

    /// What `/proc/meminfo` says.
    static func ofMachine() -> MemoryBudget {
        guard let data = FileManager.default.contents(atPath: "/proc/meminfo") else {
            return MemoryBudget(available: nil)
        }
        let lines = String(decoding: data, as: UTF8.self).split(separator: "\n")
        let words = lines.first { $0.hasPrefix("MemAvailable:") }?.split(separator: " ")
        return MemoryBudget(available: words.flatMap { $0.count > 1 ? Int($0[1]) : nil }.map { $0 * 1024 })
    }

    /// Weights are packed into memory of their own. Throws when that many bytes are not free.
    func requireRoom(forWeights bytes: Int) throws(EngineError) {
        guard let available, bytes > available else { return }
        throw .noRoomForWeights(bytes, available: available)
    }

    /// Slots for `model`, whose weights are packed already: what the options' fraction of the memory that was there
    /// before them holds beside weights and activations, and no more than `most`.
    func slots(for model: any LanguageModel, weightBytes: Int, _ options: EngineOptions, most: Int) -> Int {
        let before = Double(available ?? 4 << 30) + Double(weightBytes)
        let element = options.cacheElement ?? .float16
        let perToken = model.cacheLayout.bytesPerToken(element)
        // A step's logits, should every row be wanted, and its other activations, in float32.
        let activations = 4 * options.limits.tokensPerStep * model.vocabularySize + (128 << 20)
        let left = before * options.memoryFraction - Double(weightBytes) - Double(activations)
        return min(most, max(0, Int(left / Double(max(perToken, 1)))))
    }
}
