import Layers
import ReferenceBackend
import Scheduling
import Serving
import Tensors

/// A language model that counts: after token `t` at position `p` comes `(t + p) % vocabulary`, most likely.
/// It keeps what it saw in the cache, so that lost or mixed-up slots change its answers.
struct CountingModel: LanguageModel {
    let vocabularySize = 31
    let cacheLayout = CacheLayout(layers: 1, heads: 1, keyWidth: 1, valueWidth: 1)

    func callAsFunction(_ pass: ForwardPass) -> Matrix {
        let backend = pass.backend
        let rows = pass.tokens.count
        let (q, k, v) = (
            backend.makeMatrix(rows: rows, columns: 1), backend.makeMatrix(rows: rows, columns: 1),
            backend.makeMatrix(rows: rows, columns: 1)
        )
        for row in 0..<rows {
            q[row] = [0]
            k[row] = [0]
            v[row] = [Float(pass.tokens[row])]
        }
        let shape = AttentionShape(
            queryHeads: 1, keyValueHeads: 1, keyWidth: 1, valueWidth: 1, scale: 1, reach: .causal)
        // With no preference among keys attention is the mean, so the sum of all tokens so far.
        let means = pass.attend(q, k, v, shape, layer: 0)
        let logits = backend.makeMatrix(rows: pass.sampledRows.count, columns: vocabularySize)
        for (index, row) in pass.sampledRows.enumerated() {
            let position = Int(pass.positions[Int(row)])
            let sum = Int((means[Int(row)][0] * Float(position + 1)).rounded())
            logits[index] = (0..<vocabularySize).map {
                -Float(($0 - sum % vocabularySize + vocabularySize) % vocabularySize)
            }
        }
        return logits
    }

    /// The answer that it gives, worked out without an engine.
    func expected(after prompt: [Int32], count: Int) -> [Int32] {
        var tokens = prompt
        for _ in 0..<count { tokens.append(Int32(tokens.reduce(0) { $0 + Int($1) } % vocabularySize)) }
        return Array(tokens.suffix(count))
    }
}

extension Matrix {
    /// The values of one row.
    subscript(row: Int) -> [Float] {
        get {
            var values: [Float] = []
            backend.read(self, row: row, into: &values)
            return values
        }
        nonmutating set {
            let start = buffer.address.assumingMemoryBound(to: Float.self) + offset + row * rowStride
            start.update(from: newValue, count: columns)
        }
    }
}

func makeEngine(slots: Int = 500, limits: SchedulerLimits = SchedulerLimits(), most: Int = 200) throws
    -> Engine
{
    try makeEngine(
        EngineConfiguration(
            slots: slots, cacheElement: .float32, limits: limits, maxRequestTokens: most))
}

func makeEngine(_ configuration: EngineConfiguration) throws -> Engine {
    try Engine(model: CountingModel(), backend: ReferenceBackend(), configuration: configuration)
}

/// The tokens and the end of an answer.
func answer(_ engine: Engine, _ request: GenerationRequest) async throws -> (
    tokens: [Int32], finish: FinishReason?
) {
    var result: (tokens: [Int32], finish: FinishReason?) = ([], nil)
    for await event in try engine.submit(request) {
        guard case .token(let token, let finish) = event else { continue }
        result.tokens.append(token.token)
        result.finish = finish
    }
    return result
}

/// Waits until the engine has nothing left to do.
func settle(_ engine: Engine) async throws {
    for _ in 0..<2000 where engine.statistics.freeSlots != engine.statistics.totalSlots {
        try await Task.sleep(for: .milliseconds(5))
    }
}
