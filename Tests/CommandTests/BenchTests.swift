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

@Suite struct BenchArgumentTests {
    private func parse(_ arguments: [String]) throws -> any ParsableCommand {
        try LightLLMCommand.parseAsRoot(normalizedFlags(["bench"] + arguments))
    }

    @Test func everySpellingIsUnderstood() throws {
        for arguments in [
            ["--model-dir=m", "--input-len", "1,4,16", "--batch-size=2"],
            ["--model_dir", "m", "--input_len=1,4,16", "--batch_size", "2"],
        ] {
            let command = try #require(try parse(["static"] + arguments) as? BenchStatic)
            #expect(command.inputLengths.values == [1, 4, 16] && command.batchSizes.values == [2])
            #expect(command.outputLengths.values == [128] && command.repetitions == 5)
        }
        let rate = try #require(try parse(["serve", "--request-rate", "2.5"]) as? BenchServe)
        #expect(rate.load.workload.pace == .rate(2.5))
        let standard = try #require(try parse(["serve", "--url", "http://h:1/v1/"]) as? BenchServe)
        #expect(standard.load.workload.pace == .concurrency(32) && standard.load.count == 64)
        #expect(standard.server.url("v1/models") == "http://h:1/v1/models")
        let inf = try #require(
            try parse(["serve", "--request-rate", "inf", "--num-prompts", "7"]) as? BenchServe)
        #expect(inf.load.pace == .rate(.infinity) && inf.load.count == 7)
        #expect(inf.load.workload.plan().allSatisfy { $0.arrival == .zero })
        let dataset = try #require(
            try parse([
                "serve", "--dataset", "d", "--tokenizer", "t", "--backend", "lightllm",
                "--percentile-metrics",
                "ttft,e2el", "--metric-percentiles", "25,99.9", "--goodput", "e2el:200", "e2el:50.5",
                "--json",
            ]) as? BenchServe)
        #expect(dataset.load.pace == .rate(.infinity) && dataset.load.count == 1000 && dataset.load.seed == 0)
        #expect(dataset.reporting.metrics.values == [.ttft, .e2el] && dataset.reporting.printsJSON)
        #expect(dataset.reporting.percentiles.values.map(\.name) == ["p25", "p99.9"])
        #expect(
            dataset.reporting.objectives
                == [.init(.e2el, milliseconds: 200), .init(.e2el, milliseconds: 50.5)])
        let extra = try #require(try parse(["serve", "--extra_body", #"{"a-b": 1}"#]) as? BenchServe)
        #expect(extra.extraBody.members["a-b"] == 1)
    }

    @Test(arguments: [
        ["static"], ["static", "--model_dir", "m", "--input_len", "0"],
        ["static", "--model_dir", "m", "--input_len", "1,,2"],
        ["static", "--model_dir", "m", "--batch_size", "513"],
        ["static", "--model_dir", "m", "--output_len=-1"],
        ["static", "--model_dir", "m", "--repetitions", "0"],
        ["static", "--model_dir", "m", "--threads", "0"],
        ["serve", "--concurrency", "4", "--request_rate", "1"], ["serve", "--request_rate", "0"],
        ["serve", "--concurrency", "0"], ["serve", "--requests", "0"], ["serve", "--url", "localhost"],
        ["serve", "--mean_input", "600"], ["serve", "--mean_output", "7"], ["serve", "--cap", "7"],
        ["serve", "--dataset", "d"], ["serve", "--tokenizer", "t"], ["serve", "--goodput", "ttft"],
        ["serve", "--goodput", "odd:1"], ["serve", "--goodput", "ttft:-1"],
        ["serve", "--goodput", "ttft:nan"],
        ["serve", "--backend", "lightllm", "--goodput", "ttft:1"], ["serve", "--backend", "vllm"],
        ["serve", "--percentile_metrics", "odd"], ["serve", "--metric_percentiles", "101"],
        ["serve", "--request_rate", "nan"], ["static", "--model_dir", "m", "--world_size", "0"],
        ["serve", "--extra_body", "[]"], ["serve", "--vocab_size", "1"],
    ])
    func badValuesAreRefused(_ arguments: [String]) {
        #expect(throws: (any Error).self) { try parse(arguments) }
    }

    @Test func refusalsSayWhy() {
        #expect {
            try parse(["serve", "--concurrency", "4", "--request_rate", "1"])
        } throws: { LightLLMCommand.message(for: $0).contains("--concurrency or --request_rate") }
    }
}

@Suite struct StaticBenchTests {
    /// Prompts of 200 tokens take 512 a step, so that the first two sequences begin a step before the others;
    /// all must then run for 12 steps more.
    @Test func everySequenceRunsToTheEndOfTheMeasurement() async throws {
        let batch = StaticBatch(inputLength: 200, outputLength: 12, size: 4)
        let engine = try LoadedModel(path: tinyModel, threads: 1).makeEngine(
            StaticBatch.options(for: [batch, StaticBatch(inputLength: 3, outputLength: 0, size: 1)]))
        var random = SeededGenerator(seed: 1)
        let result = try await batch.measure(on: engine, &random)
        let decode = try #require(result.decode)
        #expect(result.prefill.tokens == 800 && decode.tokens == 48)
        #expect(result.prefill.seconds > 0 && decode.seconds > 0)
        let done = engine.statistics
        #expect(done.finishedRequests == 8 && done.promptTokens == 2 * 800)
        // Alone the prompts bring 4 tokens. Until all have begun the answers have 2 + 2 + 1 + 1.
        #expect(done.generatedTokens == 4 + 6 + 48)
        #expect(done.freeSlots == done.totalSlots)
    }

    @Test func oneSequenceComputesNothingElse() async throws {
        let batch = StaticBatch(inputLength: 7, outputLength: 5, size: 1)
        let engine = try LoadedModel(path: tinyModel, threads: 1).makeEngine(
            StaticBatch.options(for: [batch]))
        let result = try await StaticResult(batch, repetitions: 3, on: engine)
        #expect(
            engine.statistics.promptTokens == 4 * 2 * 7 && engine.statistics.generatedTokens == 4 * (1 + 6))
        #expect(engine.statistics.totalSlots == 7 + 1 + 5)
        let report = StaticReport(model: "m", backend: "b", threads: 1, repetitions: 3, loadSeconds: 0.5)
        let table = StaticTable(mode: "none", worldSize: 1)
        let json = report.json(result, table)
        #expect(json["input_len"] == 7 && json["output_len"] == 5 && json["batch_size"] == 1)
        for phase in ["prefill", "decode"] {
            let (low, median, high) = (
                try #require(json["\(phase)_tokens_per_s_min"]?.double),
                try #require(json["\(phase)_tokens_per_s"]?.double),
                try #require(json["\(phase)_tokens_per_s_max"]?.double)
            )
            #expect(0 < low && low <= median && median <= high)
        }
        for name in ["prefill_cost", "first_step_latency", "last_step_latency", "card_num_per_qps"] {
            #expect(json[name]?.double ?? 0 > 0)
        }
    }

    @Test func nothingToDecodeIsNoRate() async throws {
        let batch = StaticBatch(inputLength: 7, outputLength: 0, size: 2)
        let engine = try LoadedModel(path: tinyModel, threads: 1).makeEngine(
            StaticBatch.options(for: [batch]))
        let result = try await StaticResult(batch, repetitions: 1, on: engine)
        #expect(result.decode.percentile(50) == nil && engine.statistics.generatedTokens == 2 * 2)
        let table = StaticTable(mode: "none", worldSize: 1)
        #expect(table.log(result).split(separator: "\n").count == 2)
        #expect(table.figures(result).first { $0.name == "mean_latency" }?.value == nil)
    }
}
