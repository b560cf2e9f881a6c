import ArgumentParser
import AsyncHTTPClient
import Foundation
import JSON
import LightLLM
import OrderedCollections

/// Measures a server over HTTP, under a load like that of conversations.
struct BenchServe: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "serve",
        abstract: "Measure an OpenAI-compatible server, or LightLLM's /generate, under load.",
        discussion: """
            Sends the first turns of the conversations in a file (--dataset), or random tokens, whose lengths are \
            distributed as in conversations, and ignores end tokens. The same seed sends the same requests.
            """)

    @Option(name: .customLong("url"), help: "The server's address.")
    var server = ServerAddress.standard

    @Option(
        name: .customLong("backend"),
        help: "Which route is asked: openai (/v1/completions, streamed) or lightllm (/generate).")
    var backend = LoadBackend.openai

    @OptionGroup var load: LoadArguments
    @OptionGroup var reporting: ReportArguments

    @Option(name: .customLong("model"), help: "The model to ask for; by default the first that is served.")
    var model: String?

    @Option(name: .customLong("extra_body"), help: "A JSON object whose members are added to every request.")
    var extraBody = ExtraFields(members: [:])

    func validate() throws {
        let times = reporting.objectives.map(\.metric)
        guard backend == .openai || times.allSatisfy({ $0 == .e2el }) else {
            throw ValidationError(
                "--goodput: answers of --backend lightllm come as one, so only e2el can be limited")
        }
    }

    func run() async throws {
        let requests = try await load.requests { if !reporting.printsJSON { print($0) } }
        let (model, report) = try await measure(requests)
        let json = json(model, report).serialized
        print(reporting.printsJSON ? json : text(model, report))
        if let path = reporting.resultPath {
            guard FileManager.default.createFile(atPath: path, contents: Data((json + "\n").utf8)) else {
                throw ValidationError("--save_result: \(path): cannot be written")
            }
        }
        if let failure = report.firstFailure {
            FileHandle.standardError.write(Data("the first failure: \(failure)\n".utf8))
            throw ExitCode.failure
        }
    }

    /// The model that was asked for, and what came of the load.
    func measure(_ requests: LoadRequests) async throws -> (model: String, report: LoadReport) {
        var configuration = HTTPClient.Configuration()
        configuration.httpVersion = .http1Only
        configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = atOnce
        return try await HTTPClient.withHTTPClient(configuration: configuration) { http in
            // LightLLM's route names no model.
            let name =
                if let model { model } else if backend == .lightllm { "" } else {
                    try await http.modelName(of: server)
                }
            let client = LoadClient(
                http: http, server: server, backend: backend, model: name, extraFields: extraBody.members)
            return (name, try await measure(client, requests))
        }
    }

    private func measure(_ client: LoadClient, _ requests: LoadRequests) async throws -> LoadReport {
        for request in requests.warmup { _ = try await client.send(request).get() }
        var bar = ProgressBar(total: requests.plan.count)
        var outcomes: [Result<TimedAnswer, LoadFailure>] = []
        let start = ContinuousClock.now
        await client.send(requests.plan, atOnce: atOnce) { outcome in
            outcomes.append(outcome)
            bar.advance()
        }
        let duration = ContinuousClock.now - start
        bar.finish()
        return LoadReport(outcomes, duration: duration, options: reporting.options)
    }

    private func json(_ model: String, _ report: LoadReport) -> JSONValue {
        var object: JSONValue.Members = [
            "url": .string("\(server)"), "backend": .string(backend.rawValue), "model": .string(model),
            "seed": .integer(load.seed),
        ]
        if let dataset = load.dataset { object["dataset"] = .string(dataset) }
        switch load.pace {
        case .concurrency(let count): object["concurrency"] = .integer(count)
        case .rate(let rate): object["request_rate"] = rate.isFinite ? .number(rate) : "inf"
        }
        object.merge(report.json) { $1 }
        return .object(object)
    }

    private func text(_ model: String, _ report: LoadReport) -> String {
        let pace =
            switch load.pace {
            case .concurrency(let count): "\(count) at once"
            case .rate(let rate): rate.isFinite ? "\(rate) a second" : "all at once"
            }
        let receiver = model.isEmpty ? "\(server)" : "\(model) at \(server)"
        return "\(load.count) requests to \(receiver), \(pace), seed \(load.seed)\n\n\(report.text)"
    }

    /// Requests that may be in flight together: all of them, where arrivals set the pace.
    private var atOnce: Int {
        if case .concurrency(let count) = load.pace { count } else { load.count }
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
