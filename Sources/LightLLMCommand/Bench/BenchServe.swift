import ArgumentParser
import AsyncHTTPClient
import Foundation
import JSON
import OrderedCollections

/// Measures a server over HTTP, under a load like that of conversations.
struct BenchServe: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "serve",
        abstract: "Measure an OpenAI-compatible server under load.",
        discussion: """
            Sends streamed completions of random tokens, whose lengths are distributed as in conversations, and \
            ignores end tokens. The same seed sends the same requests.
            """)

    @Option(name: .customLong("url"), help: "The server's address.")
    var server = ServerAddress.standard

    @Option(name: .customLong("model"), help: "The model to ask for; by default the first that is served.")
    var model: String?

    @Option(name: .customLong("requests"), help: "How many requests to send.")
    var requests = 64

    @Option(name: .customLong("concurrency"), help: "Requests in flight at the same time; 32 by default.")
    var concurrency: Int?

    @Option(name: .customLong("request_rate"), help: "Instead: requests that arrive each second on average.")
    var requestRate: Double?

    @Option(name: .customLong("seed"), help: "Chooses lengths, tokens and arrivals.")
    var seed = 278

    @Option(name: .customLong("mean_input"), help: "Tokens of a prompt on average.")
    var meanInput = 165.0

    @Option(name: .customLong("mean_output"), help: "Tokens of an answer on average.")
    var meanOutput = 178.0

    @Option(name: .customLong("cap"), help: "The most tokens of a prompt, and of an answer.")
    var cap = 512

    @Option(name: .customLong("vocab_size"), help: "Prompts are made of token ids below this.")
    var vocabularySize = 32_000

    @Option(name: .customLong("extra_body"), help: "A JSON object whose members are added to every request.")
    var extraBody = ExtraFields(members: [:])

    @Flag(name: .customLong("json"), help: "Print one JSON object instead of a table.")
    var printsJSON = false

    func validate() throws {
        try require((1...1_000_000).contains(requests), "requests", "between 1 and 1000000", requests)
        guard concurrency == nil || requestRate == nil else {
            throw ValidationError("expected --concurrency or --request_rate, found both")
        }
        try require(
            (1...10_000).contains(concurrency ?? 1), "concurrency", "between 1 and 10000", concurrency ?? 1)
        try require(
            requestRate.map { $0 > 0 && $0.isFinite } ?? true, "request_rate", "above 0", requestRate ?? 1)
        let shortest = LengthDistribution.shortest
        try require((shortest...1_000_000).contains(cap), "cap", "between \(shortest) and 1000000", cap)
        for (flag, mean) in [("mean_input", meanInput), ("mean_output", meanOutput)] {
            try require(
                mean >= Double(shortest) && mean <= Double(cap), flag, "between \(shortest) and \(cap)", mean)
        }
        try require(
            (2...Int(Int32.max)).contains(vocabularySize), "vocab_size", "between 2 and \(Int32.max)",
            vocabularySize)
    }

    func run() async throws {
        let (model, report) = try await measure()
        print(printsJSON ? json(model, report).serialized : text(model, report))
        if let failure = report.firstFailure {
            FileHandle.standardError.write(Data("the first failure: \(failure)\n".utf8))
            throw ExitCode.failure
        }
    }

    /// The model that was asked for, and what came of the load.
    func measure() async throws -> (model: String, report: LoadReport) {
        var configuration = HTTPClient.Configuration()
        configuration.httpVersion = .http1Only
        configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = atOnce
        return try await HTTPClient.withHTTPClient(configuration: configuration) { http in
            let name = if let model { model } else { try await http.modelName(of: server) }
            let client = LoadClient(
                http: http, server: server, model: name, extraFields: extraBody.members)
            return (name, try await measure(client))
        }
    }

    private func measure(_ client: LoadClient) async throws -> LoadReport {
        for request in workload.warmup() { _ = try await client.send(request).get() }
        let plan = workload.plan()
        var bar = ProgressBar(total: plan.count)
        var outcomes: [Result<TimedAnswer, LoadFailure>] = []
        let start = ContinuousClock.now
        await client.send(plan, atOnce: atOnce) { outcome in
            outcomes.append(outcome)
            bar.advance()
        }
        let duration = ContinuousClock.now - start
        bar.finish()
        return LoadReport(outcomes, duration: duration)
    }

    private func json(_ model: String, _ report: LoadReport) -> JSONValue {
        var object: JSONValue.Members = [
            "url": .string("\(server)"), "model": .string(model), "seed": .integer(seed),
        ]
        switch workload.pace {
        case .concurrency(let count): object["concurrency"] = .integer(count)
        case .rate(let rate): object["request_rate"] = .number(rate)
        }
        object.merge(report.json) { $1 }
        return .object(object)
    }

    private func text(_ model: String, _ report: LoadReport) -> String {
        let pace =
            switch workload.pace {
            case .concurrency(let count): "\(count) at once"
            case .rate(let rate): "\(rate) a second"
            }
        return "\(requests) requests to \(model) at \(server), \(pace), seed \(seed)\n\(report.text)"
    }

    /// Requests that may be in flight together: all of them, where arrivals set the pace.
    private var atOnce: Int {
        if case .concurrency(let count) = workload.pace { count } else { requests }
    }

    var workload: Workload {
        Workload(
            count: requests, seed: UInt64(truncatingIfNeeded: seed),
            input: LengthDistribution(mean: meanInput, deviation: 0.85, cap: cap),
            output: LengthDistribution(mean: meanOutput, deviation: 0.75, cap: cap),
            vocabularySize: vocabularySize,
            pace: requestRate.map { .rate($0) } ?? .concurrency(concurrency ?? 32))
    }
}

/// A JSON object given as an argument.
struct ExtraFields: ExpressibleByArgument, CustomStringConvertible {
    let members: JSONValue.Members

    init(members: JSONValue.Members) { self.members = members }

    init?(argument: String) {
        guard let members = (try? JSONValue(parsing: argument))?.object else { return nil }
        self.members = members
    }

    var description: String { JSONValue.object(members).serialized }
}
