import ArgumentParser
import Foundation
import HTTPAPI
import JSON
import LightLLM
import Logging
import OrderedCollections
import Testing

@testable import LightLLMCommand

private let tinyModel = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent()
    .appendingPathComponent("Fixtures/goldens/models/tiny_llama").path

/// The load generator against our own server.
@Suite(.timeLimit(.minutes(2))) struct ServeBenchTests {
    /// Serves the tiny model while `body` runs; it is told the address and the size of the vocabulary.
    private func serve(_ body: (String, Int) async throws -> Void) async throws {
        var options = TextOptions()
        (options.engine.maxTotalTokens, options.engine.maxRequestTokens, options.engine.threads) = (
            4096, 128, 1
        )
        let generator = try LoadedTextModel(path: tinyModel, options: options).generator
        var configuration = Server.Configuration()
        configuration.port = 0
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        let server = Server(generator, configuration: configuration, logger: logger)
        let (ports, port) = AsyncStream.makeStream(of: Int.self)
        let serving = Task { try await server.run { port.yield($0) } }
        var iterator = ports.makeAsyncIterator()
        let url = "http://127.0.0.1:\(try #require(await iterator.next()))"
        try await body(url, generator.engine.vocabularySize)
        serving.cancel()
        _ = await serving.result
    }

    private func parse(_ arguments: [String]) throws -> BenchServe {
        try #require(
            try LightLLMCommand.parseAsRoot(normalizedFlags(["bench", "serve"] + arguments)) as? BenchServe)
    }

    @Test(arguments: LoadBackend.allCases)
    func everyAnswerHasItsLength(_ backend: LoadBackend) async throws {
        try await serve { url, vocabularySize in
            let command = try parse([
                "--url", url, "--requests", "12", "--concurrency", "5", "--mean_input", "20", "--mean_output",
                "20", "--cap", "40", "--vocab_size", "\(vocabularySize)", "--backend", backend.rawValue,
            ])
            let (model, report) = try await command.measure(try await command.load.requests { _ in })
            let plan = command.load.workload.plan()
            #expect(model == (backend == .openai ? "default_model_name" : ""))
            #expect(report.firstFailure == nil)
            let json = report.json
            #expect(json["requests"] == 12 && json["verified"] == 12)
            #expect(json["output_tokens"] == .integer(plan.reduce(0) { $0 + $1.newTokens }))
            #expect(json["input_tokens"] == .integer(plan.reduce(0) { $0 + $1.prompt.count }))
            #expect((json["ttft_ms"]?["p50"]?.double ?? 0 > 0) == (backend == .openai))
            #expect(json["latency_ms"]?["p50"]?.double ?? 0 > 0)
            #expect(json["average_latency_s"]?.double ?? 0 > 0)
        }
    }

    @Test(arguments: LoadBackend.allCases)
    func conversationsAreSent(_ backend: LoadBackend) async throws {
        let path = NSTemporaryDirectory() + "dataset-" + UUID().uuidString
        defer { try? FileManager.default.removeItem(atPath: path) }
        let texts = (1...8).map { "The \($0) answers to a question that nobody has asked, they say." }
        let json: JSONValue = .array(
            texts.map { ["conversations": [["value": .string($0)], ["value": .string("Yes, " + $0)]]] })
        try Data(json.serialized.utf8).write(to: URL(fileURLWithPath: path))
        try await serve { url, _ in
            let command = try parse([
                "--url", url, "--dataset", path, "--tokenizer", tinyModel, "--num-prompts", "5", "--backend",
                backend.rawValue, "--request-rate", "200", "--goodput", "e2el:60000",
            ])
            var lines: [String] = []
            let requests = try await command.load.requests { lines.append($0) }
            let total = requests.plan.reduce(0) { $0 + $1.prompt.count + $1.newTokens }
            #expect(lines == ["read data set finish", "total tokens: \(total)"])
            let (_, report) = try await command.measure(requests)
            #expect(report.firstFailure == nil && report.json["verified"] == 5)
            #expect(report.json["goodput"]?["good_requests"] == 5)
        }
    }

    @Test func turnsSendWhatWasSaid() async throws {
        try await serve { url, vocabularySize in
            let command = try #require(
                try LightLLMCommand.parseAsRoot(
                    normalizedFlags([
                        "bench", "prompt_cache", "--address", url, "--num_workers", "2", "--num-users", "3",
                        "--num-turns", "3", "--first-input-len", "20", "--subsequent-input-len", "5",
                        "--output-len", "4", "--vocab_size", "\(vocabularySize)",
                    ])) as? BenchPromptCache)
            let report = try await command.measure()
            #expect(report.turns.map(\.count) == [3, 3, 3])
            #expect(report.turns.map { Set($0.map(\.promptTokens)) } == [[20], [29], [38]])
            #expect(report.turns.joined().allSatisfy { $0.tokens.count == 4 && $0.firstToken <= $0.latency })
            let json = report.json("tiny")
            #expect(json["requests"] == 9 && json["turns"]?.array?.count == 3)
            #expect(json["turns"]?.array?[2]["prompt_tokens"]?.double == 38)
            #expect(report.text.split(separator: "\n").count == 5)
        }
    }

    /// A server that refuses is no fast one.
    @Test func failuresAreCounted() async throws {
        try await serve { url, vocabularySize in
            let command = try parse([
                "--url", url, "--backend", "lightllm", "--requests", "3", "--mean_input", "400", "--cap",
                "500",
                "--vocab_size", "\(vocabularySize)",
            ])
            let requests = LoadRequests(plan: command.load.workload.plan())
            let (_, report) = try await command.measure(requests)
            let failures = report.json["failures"]?.int ?? 0
            #expect(failures > 0 && report.json["requests"] == 3)
            #expect(report.firstFailure?.description.contains("status 4") == true)
        }
    }
}
