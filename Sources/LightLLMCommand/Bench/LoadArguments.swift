import ArgumentParser
import LightLLM

/// Requests to be sent, and some before that count for nothing.
struct LoadRequests {
    var warmup: [PlannedRequest] = []
    let plan: [PlannedRequest]
}

/// What is sent to a server, and when.
struct LoadArguments: ParsableArguments {
    @Option(
        name: .customLong("dataset"),
        help: "A file of conversations as ShareGPT's, whose first turns are sent; needs --tokenizer.")
    var dataset: String?

    @Option(
        name: .customLong("tokenizer"),
        help: "Whose tokens are counted: a Hugging Face folder, a GGUF file, or OWNER/NAME of a hub.")
    var tokenizer: String?

    @Option(
        name: [.customLong("requests"), .customLong("num_prompts")],
        help: "How many requests to send; 64 by default, 1000 of a --dataset.")
    var requests: Int?

    @Option(
        name: [.customLong("concurrency"), .customLong("max_concurrency")],
        help: "Requests in flight at the same time; 32 by default without a --dataset.")
    var concurrency: Int?

    @Option(
        name: .customLong("request_rate"),
        help:
            "Instead: requests that arrive each second on average; inf, as with a --dataset, for all at once."
    )
    var requestRate: Double?

    @Option(name: .customLong("seed"), help: "Chooses conversations or lengths and tokens, and arrivals.")
    var givenSeed: Int?

    @Option(name: .customLong("mean_input"), help: "Tokens of a random prompt on average.")
    var meanInput = 165.0

    @Option(name: .customLong("mean_output"), help: "Tokens of its answer on average.")
    var meanOutput = 178.0

    @Option(name: .customLong("cap"), help: "The most tokens of a random prompt, and of its answer.")
    var cap = 512

    @Option(name: .customLong("vocab_size"), help: "Random prompts are made of token ids below this.")
    var vocabularySize = 32_000

    func validate() throws {
        try require((1...1_000_000).contains(count), "requests", "between 1 and 1000000", count)
        guard concurrency == nil || requestRate == nil else {
            throw ValidationError("expected --concurrency or --request_rate, found both")
        }
        guard (dataset == nil) == (tokenizer == nil) else {
            throw ValidationError("expected --dataset and --tokenizer together, found one of them")
        }
        try require(
            (1...10_000).contains(concurrency ?? 1), "concurrency", "between 1 and 10000", concurrency ?? 1)
        try require(requestRate.map { $0 > 0 } ?? true, "request_rate", "above 0", requestRate ?? 1)
        let shortest = LengthDistribution.shortest
        try require((shortest...1_000_000).contains(cap), "cap", "between \(shortest) and 1000000", cap)
        for (flag, mean) in [("mean_input", meanInput), ("mean_output", meanOutput)] {
            try require(
                mean >= Double(shortest) && mean <= Double(cap), flag, "between \(shortest) and \(cap)", mean)
        }
        try require(
            (2...Int(Int32.max)).contains(vocabularySize), "vocab_size", "between 2 and \(Int32.max)",
            vocabularySize)
        if dataset != nil { try require((0...Int(UInt32.max)).contains(seed), "seed", "at least 0", seed) }
    }

    var count: Int { requests ?? (dataset == nil ? 64 : 1000) }
    var seed: Int { givenSeed ?? (dataset == nil ? 278 : 0) }

    var pace: Pace {
        if let requestRate { return .rate(requestRate) }
        if let concurrency { return .concurrency(concurrency) }
        return dataset == nil ? .concurrency(32) : .rate(.infinity)
    }

    /// `report` is told what was found in the dataset.
    func requests(_ report: (String) -> Void) async throws -> LoadRequests {
        guard let dataset, let tokenizer else {
            return LoadRequests(warmup: workload.warmup(), plan: workload.plan())
        }
        let encoder = try LightLLM.tokenizer(ofModelAt: await localModel(tokenizer))
        let conversations = try ConversationSet(path: dataset)
        report("read data set finish")
        let openings = try conversations.choose(count, seed: UInt64(seed)) {
            try encoder.encode($0, parsesSpecialTokens: true).count
        }
        report("total tokens: \(openings.reduce(0) { $0 + $1.promptTokens + $1.answerTokens })")
        let arrivals = pace.arrivals(count, numpySeed: UInt32(seed))
        return LoadRequests(
            plan: zip(arrivals, openings).map { arrival, opening in
                PlannedRequest(
                    arrival: arrival, prompt: .text(opening.prompt, tokens: opening.promptTokens),
                    newTokens: opening.answerTokens)
            })
    }

    var workload: Workload {
        Workload(
            count: count, seed: UInt64(truncatingIfNeeded: seed),
            input: LengthDistribution(mean: meanInput, deviation: 0.85, cap: cap),
            output: LengthDistribution(mean: meanOutput, deviation: 0.75, cap: cap),
            vocabularySize: vocabularySize, pace: pace)
    }
}

/// What is said about the answers.
struct ReportArguments: ParsableArguments {
    @Option(name: .customLong("percentile_metrics"), help: "Times to report, separated by commas.")
    var metrics = MetricList.all

    @Option(name: .customLong("metric_percentiles"), help: "Their percentiles, separated by commas.")
    var percentiles = PercentileList.standard

    @Option(
        name: .customLong("goodput"), parsing: .upToNextOption,
        help: "Limits in milliseconds that good answers keep: ttft:200 tpot:50 itl:500 e2el:3000.")
    var objectives: [ServiceObjective] = []

    @Flag(name: .customLong("json"), help: "Print one JSON object instead of a table.")
    var printsJSON = false

    @Option(name: .customLong("save_result"), help: "A file to write the JSON object to as well.")
    var resultPath: String?

    var options: ReportOptions {
        ReportOptions(metrics: metrics.values, percentiles: percentiles, objectives: objectives)
    }
}
