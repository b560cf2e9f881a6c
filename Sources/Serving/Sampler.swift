import Foundation

/// Chooses the tokens of one request. Its choices depend on the request and the logits alone.
struct Sampler {
    let parameters: SamplingParameters
    let endTokens: Set<Int32>
    private var random: SeededGenerator
    /// How often each token counts as seen, for the penalties.
    private var counts: [Int32: Int] = [:]
    private var generated = 0

    init(_ parameters: SamplingParameters, endTokens: Set<Int32>, prompt: [Int32]) {
        (self.parameters, self.endTokens) = (parameters, endTokens)
        random = SeededGenerator(seed: parameters.seed ?? UInt64.random(in: .min ... .max))
        if parameters.penalizesPrompt { for token in prompt { counts[token, default: 0] += 1 } }
    }

    /// Chooses from `logits`, which it overwrites, and reports the `top` likeliest tokens beside.
    mutating func sample(_ logits: inout [Float], top: Int) -> ScoredToken {
        penalize(&logits)
        if let temperature = parameters.temperature, !parameters.isGreedy {
            for index in logits.indices { logits[index] /= temperature }
        }
        let total = logSumExp(logits)
        let choice = parameters.isGreedy ? argMax(logits) : draw(logits, total)
        let token = Int32(choice)
        note(token)
        return ScoredToken(
            token: token, logProbability: logits[choice] - total, top: likeliest(top, of: logits, total))
    }

    /// Counts a token that was chosen without `sample`.
    mutating func note(_ token: Int32) {
        counts[token, default: 0] += 1
        generated += 1
    }

    private func penalize(_ logits: inout [Float]) {
        for (token, bias) in parameters.logitBias where logits.indices.contains(Int(token)) {
            logits[Int(token)] += bias
        }
        for (token, count) in counts where logits.indices.contains(Int(token)) {
            var logit = logits[Int(token)]
            logit = logit > 0 ? logit / parameters.repetitionPenalty : logit * parameters.repetitionPenalty
            logits[Int(token)] =
                logit - Float(count) * parameters.frequencyPenalty - parameters.presencePenalty
        }
        for token in endTokens where logits.indices.contains(Int(token)) {
            if let penalty = parameters.lengthPenalty, generated > penalty.start {
                let growth = pow(penalty.factor, Float(generated - penalty.start)) - 1
                logits[Int(token)] += abs(logits[Int(token)]) * growth
            }
            if generated < parameters.minNewTokens - 1 { logits[Int(token)] = -.infinity }
        }
    }

    /// Draws in proportion to probability among the tokens that top-k, top-p and min-p leave.
    private mutating func draw(_ logits: [Float], _ total: Float) -> Int {
        let point = random.nextUnit()
        if parameters.topP >= 1, parameters.topK == nil, parameters.minP <= 0 {
            return pick(logits.indices, logits, total, mass: 1, point: point)
        }
        let kept = candidates(logits, total)
        let mass = kept.reduce(0) { $0 + Double(exp(logits[$1] - total)) }
        return pick(kept, logits, total, mass: mass, point: point)
    }

    /// Where the running sum of probabilities passes `point * mass`.
    private func pick(
        _ indices: some Collection<Int>, _ logits: [Float], _ total: Float, mass: Double, point: Double
    ) -> Int {
        var remaining = point * mass
        var last = 0
        for index in indices {
            let probability = Double(exp(logits[index] - total))
            if probability > 0 { last = index }
            remaining -= probability
            if remaining < 0 { return index }
        }
        return last
    }

    /// The tokens left to choose from, most likely first. Never empty: the likeliest always remains.
    private func candidates(_ logits: [Float], _ total: Float) -> [Int] {
        var wanted = min(parameters.topK ?? 64, logits.count)
        while true {
            let leading = largest(wanted, of: logits)
            var mass = 0.0
            var kept: [Int] = []
            for index in leading {
                let probability = Double(exp(logits[index] - total))
                let isUnlikely =
                    logits[index] < logits[leading[0]] + log(max(parameters.minP, .leastNormalMagnitude))
                if !kept.isEmpty, mass > Double(parameters.topP) || (parameters.minP > 0 && isUnlikely) {
                    return kept
                }
                kept.append(index)
                mass += probability
            }
            if parameters.topK != nil || wanted == logits.count { return kept }
            wanted = min(wanted * 8, logits.count)
        }
    }

    private func likeliest(_ count: Int, of logits: [Float], _ total: Float) -> [TokenScore] {
        guard count > 0 else { return [] }
        return largest(count, of: logits).map {
            TokenScore(token: Int32($0), logProbability: logits[$0] - total)
        }
    }
}

/// The most likely tokens of a row of raw logits.
func topScores(_ count: Int, of logits: [Float]) -> [TokenScore] {
    guard count > 0 else { return [] }
    let total = logSumExp(logits)
    return largest(count, of: logits).map { TokenScore(token: Int32($0), logProbability: logits[$0] - total) }
}

/// The index of the largest value, the first of equals; not-a-numbers never win.
func argMax(_ values: [Float]) -> Int {
    var best = 0
    for index in values.indices where values[index] > values[best] || values[best].isNaN { best = index }
    return best
}

/// `ln Σ exp(x)`, summed in double so that the order of a large vocabulary does not show.
func logSumExp(_ values: [Float]) -> Float {
    let top = values[argMax(values)]
    guard top.isFinite else { return top }
    var sum = 0.0
    for value in values where value > -.infinity { sum += Double(exp(value - top)) }
    return top + Float(log(sum))
}

/// The indices of the `count` largest values, largest first, lower indices first among equals.
func largest(_ count: Int, of values: [Float]) -> [Int] {
    let count = min(count, values.count)
    guard count > 0 else { return [] }
    func precedes(_ a: Int, _ b: Int) -> Bool { values[a] > values[b] || (values[a] == values[b] && a < b) }
    if count * 8 > values.count { return Array(values.indices.sorted(by: precedes).prefix(count)) }
    // A small sorted list; most values fall short of its last and cost one comparison.
    var leading: [Int] = []
    for index in values.indices {
        if leading.count == count {
            guard precedes(index, leading[count - 1]) else { continue }
            leading.removeLast()
        }
        var (low, high) = (0, leading.count)
        while low < high {
            let middle = (low + high) / 2
            if precedes(leading[middle], index) { low = middle + 1 } else { high = middle }
        }
        leading.insert(index, at: low)
    }
    return leading
}

/// SplitMix64 (Steele, Lea, Flood 2014): small, seedable, the same everywhere.
public struct SeededGenerator: RandomNumberGenerator, Sendable {
    private var state: UInt64

    public init(seed: UInt64) { state = seed }

    public mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    /// Uniform in [0, 1).
    public mutating func nextUnit() -> Double { Double(next() >> 11) * 0x1p-53 }
}
