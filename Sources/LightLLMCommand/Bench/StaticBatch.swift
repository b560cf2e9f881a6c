import LightLLM
import Scheduling
import Serving

/// Prompts of one length that arrive together and are continued together.
struct StaticBatch: Sendable {
    let inputLength: Int
    /// Tokens of each answer after its first, which belongs to the prompt's computation.
    let outputLength: Int
    let size: Int

    /// An engine's options that let each of the batches run at once.
    static func options(for batches: [StaticBatch]) -> EngineOptions {
        var options = EngineOptions()
        options.limits.runningSequences = max(
            options.limits.runningSequences, batches.map(\.size).max() ?? 1)
        options.sharesPrefixes = false
        let step = options.limits.tokensPerStep
        options.maxRequestTokens = batches.map { $0.inputLength + $0.newTokens(0, step) }.max()
        options.maxTotalTokens = batches.map { batch in
            (0..<batch.size).reduce(0) { $0 + batch.inputLength + batch.newTokens($1, step) }
        }.max()
        return options
    }

    /// Runs the batch on an idle engine: once for its prompts alone, so that no answer takes part in their time,
    /// and once for its answers.
    func measure(on engine: Engine, _ random: inout SeededGenerator) async throws -> BatchThroughput {
        let prompts = try await run(engine, prompts(engine, &random)) { _ in 1 }
        let prefill = Throughput(tokens: size * inputLength, duration: prompts.last[0] - prompts.start)
        guard outputLength > 0 else { return BatchThroughput(prefill: prefill, decode: nil, steps: []) }
        let step = engine.configuration.limits.tokensPerStep
        let answers = try await run(engine, self.prompts(engine, &random)) { newTokens($0, step) }
        // Once the last sequence has begun, every step gives every sequence one token.
        let decode = Throughput(
            tokens: size * outputLength, duration: answers.last[outputLength] - answers.last[0])
        let steps = (0..<outputLength).map { (answers.last[$0 + 1] - answers.last[$0]) / .seconds(1) }
        return BatchThroughput(prefill: prefill, decode: decode, steps: steps)
    }

    /// How many tokens sequence `number` is to generate so that it is still running when the batch's last to
    /// begin has its `outputLength`: the prompts take several steps, and whoever is through with its own goes on
    /// meanwhile.
    private func newTokens(_ number: Int, _ tokensPerStep: Int) -> Int {
        func steps(_ tokens: Int, _ perStep: Int) -> Int { (tokens + perStep - 1) / perStep }
        let soonest = steps((number + 1) * inputLength, tokensPerStep)
        let everybody = steps(size * inputLength, tokensPerStep - size + 1)
        return 1 + outputLength + everybody - soonest
    }

    private func prompts(_ engine: Engine, _ random: inout SeededGenerator) -> [[Int32]] {
        (0..<size).map { _ in
            (0..<inputLength).map { _ in Int32.random(in: 0..<Int32(engine.vocabularySize), using: &random) }
        }
    }

    /// When the requests were queued, and when each token came of the sequence that was the last to begin.
    private func run(
        _ engine: Engine, _ prompts: [[Int32]], newTokens: (Int) -> Int
    ) async throws -> (start: ContinuousClock.Instant, last: [ContinuousClock.Instant]) {
        let requests = prompts.enumerated().map { number, prompt in
            var request = GenerationRequest(prompt: prompt, maxNewTokens: newTokens(number))
            request.ignoresEndTokens = true
            return request
        }
        let start = ContinuousClock.now
        let streams = try engine.submit(requests)
        let arrivals = await withTaskGroup(of: [ContinuousClock.Instant].self) { group in
            for stream in streams {
                group.addTask {
                    var arrivals: [ContinuousClock.Instant] = []
                    for await case .token in stream { arrivals.append(.now) }
                    return arrivals
                }
            }
            return await group.reduce(into: []) { $0.append($1) }
        }
        let asked = requests.reduce(0) { $0 + $1.maxNewTokens }
        guard arrivals.reduce(0, { $0 + $1.count }) == asked, let last = arrivals.max(by: { $0[0] < $1[0] })
        else { throw RequestError.engineStopped }
        return (start, last)
    }
}

/// Tokens, and the time they took.
struct Throughput: Sendable {
    let tokens: Int
    let seconds: Double

    init(tokens: Int, duration: Duration) { (self.tokens, seconds) = (tokens, duration / .seconds(1)) }

    var perSecond: Double { Double(tokens) / seconds }
}

/// How fast a batch ran once; no answers, no decode.
struct BatchThroughput: Sendable {
    let prefill: Throughput
    let decode: Throughput?
    /// Seconds of each step of decoding.
    let steps: [Double]

    /// Prompts and answers together.
    var seconds: Double { prefill.seconds + (decode?.seconds ?? 0) }
}

/// How fast a batch ran, in tokens per second.
struct StaticResult: Sendable {
    let batch: StaticBatch
    let prefill: Distribution
    let decode: Distribution
    /// The run that took neither long nor short; its times belong together.
    let typical: BatchThroughput

    /// Runs `batch` once to warm up and then `repetitions` times.
    init(_ batch: StaticBatch, repetitions: Int, on engine: Engine) async throws {
        // New prompts every time: what an engine may remember of earlier ones is not what is measured.
        var random = SeededGenerator(seed: 0)
        _ = try await batch.measure(on: engine, &random)
        var runs: [BatchThroughput] = []
        for _ in 0..<repetitions { runs.append(try await batch.measure(on: engine, &random)) }
        self.init(batch, runs)
    }

    /// Of one run or more.
    init(_ batch: StaticBatch, _ runs: [BatchThroughput]) {
        self.batch = batch
        prefill = Distribution(runs.map(\.prefill.perSecond))
        decode = Distribution(runs.compactMap { $0.decode?.perSecond })
        typical = runs.sorted { $0.seconds < $1.seconds }[runs.count / 2]
    }
}
