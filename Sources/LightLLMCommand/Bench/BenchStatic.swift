import ArgumentParser
import Foundation
import JSON
import LightLLM
import OrderedCollections
import Scheduling
import Serving
import Tensors

/// Measures a model without a server, as llama-bench and LightLLM's `test_llama` do.
struct BenchStatic: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "static",
        abstract: "Measure a model alone: prompts of one length, read together and continued together.",
        discussion: """
            Prefill counts the tokens of all prompts, from their arrival until each has its first token. Decode \
            counts the tokens of all answers, from there on. Both are totals over the batch. A list measures \
            every combination. The times of a run of each, in milliseconds, and the Markdown table are those of \
            LightLLM's test_llama and test_settings.
            """)

    @OptionGroup var model: ModelArguments

    @Option(name: .customLong("input_len"), help: "Tokens of each prompt; a list is separated by commas.")
    var inputLengths: IntegerList = [512]

    @Option(
        name: .customLong("output_len"), help: "Tokens decoded after the first, or a list; 0 for none.")
    var outputLengths: IntegerList = [128]

    @Option(name: .customLong("batch_size"), help: "Sequences that run together, or a list.")
    var batchSizes: IntegerList = [1]

    @OptionGroup var ranks: RankArguments

    @OptionGroup var quantization: QuantizationArguments

    @Option(name: .customLong("repetitions"), help: "Measurements after a first that does not count.")
    var repetitions = 5

    @Flag(name: .customLong("json"), help: "Print a JSON object a line instead of a table.")
    var printsJSON = false

    func validate() throws {
        for (flag, list, range) in [
            ("input_len", inputLengths, 1...1_000_000), ("output_len", outputLengths, 0...1_000_000),
            ("batch_size", batchSizes, 1...SchedulerLimits().tokensPerStep),
        ] {
            for value in list.values {
                try require(
                    range.contains(value), flag, "between \(range.lowerBound) and \(range.upperBound)", value)
            }
        }
        try require((1...10_000).contains(repetitions), "repetitions", "between 1 and 10000", repetitions)
    }

    func run() async throws {
        let ranks = try RankProcess.join(self.ranks)
        ranks?.endWithGroup()
        let start = ContinuousClock.now
        let (path, batches) = (try await localModel(model.modelDirectory), batches)
        var options = StaticBatch.options(for: batches)
        (options.device, options.threads) = (model.device, model.threads ?? ranks?.threads)
        options.weightFormat = try quantization.format()
        if let ranks, ranks.isFollower { return try ranks.follow(path, options) }
        let loaded = try LoadedModel(
            path: path, device: options.device, threads: options.threads, weightFormat: options.weightFormat,
            group: ranks?.group)
        let engine = try loaded.makeEngine(options)
        let report = StaticReport(
            model: ModelSource(model.modelDirectory).modelName, backend: loaded.backend.name,
            threads: options.threads ?? ProcessInfo.processInfo.activeProcessorCount,
            repetitions: repetitions,
            loadSeconds: (ContinuousClock.now - start) / .seconds(1))
        let table = StaticTable(mode: quantization.quantType, worldSize: self.ranks.size)
        if !printsJSON { printCapacity(engine) }
        var results: [StaticResult] = []
        for batch in batches {
            let result = try await StaticResult(batch, repetitions: repetitions, on: engine)
            print(printsJSON ? report.json(result, table).serialized : table.log(result))
            results.append(result)
        }
        try await ranks?.leave(engine)
        guard !printsJSON else { return }
        print("\n" + table.markdown(results) + "\n")
        print(report.heading)
        for result in results { print(report.row(result)) }
        if let peak = peakMemory() { print("peak memory \(peak >> 20) MiB") }
    }

    private func printCapacity(_ engine: Engine) {
        print("can use mem size: \(engine.configuration.slots)")
        print("can use req size: \(engine.configuration.limits.runningSequences)")
    }

    private var batches: [StaticBatch] {
        inputLengths.values.flatMap { input in
            outputLengths.values.flatMap { output in
                batchSizes.values.map { StaticBatch(inputLength: input, outputLength: output, size: $0) }
            }
        }
    }
}

/// Integers separated by commas.
struct IntegerList: ExpressibleByArgument, ExpressibleByArrayLiteral {
    let values: [Int]

    init(arrayLiteral values: Int...) { self.values = values }

    init?(argument: String) {
        let words = argument.split(separator: ",", omittingEmptySubsequences: false)
        values = words.compactMap { Int($0) }
        guard values.count == words.count else { return nil }
    }

    var defaultValueDescription: String { values.map(String.init).joined(separator: ",") }
}

/// What is said about the results of `bench static`.
struct StaticReport {
    let model: String
    let backend: String
    let threads: Int
    let repetitions: Int
    let loadSeconds: Double

    private static let widths = [7, 7, 7, 10, 21, 10, 21]

    var heading: String {
        let spread = "(min ... max)"
        let names = ["input", "output", "batch", "prefill", spread, "decode", spread]
        return """
            \(model), \(backend), loaded in \(formatted(loadSeconds, 3)) s
            tokens/s over the whole batch, medians of \(repetitions)

            \(tableRow(names, widths: Self.widths))
            """
    }

    func row(_ result: StaticResult) -> String {
        func cells(_ rates: Distribution) -> [String] {
            let spread = rates.minimum.flatMap { low in
                rates.maximum.map { "(\(formatted(low, 1)) ... \(formatted($0, 1)))" }
            }
            return [formatted(rates.percentile(50), 1), spread ?? ""]
        }
        let batch = result.batch
        let shape = [batch.inputLength, batch.outputLength, batch.size].map(String.init)
        return tableRow(shape + cells(result.prefill) + cells(result.decode), widths: Self.widths)
    }

    func json(_ result: StaticResult, _ table: StaticTable) -> JSONValue {
        var object: JSONValue.Members = [
            "model": .string(model), "backend": .string(backend), "threads": .integer(threads),
            "input_len": .integer(result.batch.inputLength),
            "output_len": .integer(result.batch.outputLength),
            "batch_size": .integer(result.batch.size), "repetitions": .integer(repetitions),
        ]
        for (name, rates) in [("prefill", result.prefill), ("decode", result.decode)] {
            object[JSONKey("\(name)_tokens_per_s")] = JSONValue(rounding: rates.percentile(50))
            object[JSONKey("\(name)_tokens_per_s_min")] = JSONValue(rounding: rates.minimum)
            object[JSONKey("\(name)_tokens_per_s_max")] = JSONValue(rounding: rates.maximum)
        }
        for (name, value) in table.figures(result) {
            object[JSONKey(name)] = value.map { .number($0) } ?? .null
        }
        object["load_s"] = JSONValue(rounding: loadSeconds)
        object["peak_memory_bytes"] = peakMemory().map { .integer($0) } ?? .null
        return .object(object)
    }
}

/// The most memory that this process has had resident, in bytes; nil where the system does not say.
private func peakMemory() -> Int? {
    guard let data = FileManager.default.contents(atPath: "/proc/self/status") else { return nil }
    let lines = String(decoding: data, as: UTF8.self).split(separator: "\n")
    let words = lines.first { $0.hasPrefix("VmHWM:") }?.split(whereSeparator: \.isWhitespace)
    return words.flatMap { $0.count > 1 ? Int($0[1]) : nil }.map { $0 * 1024 }
}
