public import ArgumentParser
import Foundation
import HTTPAPI
import Logging
import Serving
public import TextGeneration

/// Where flags come from, what is logged, and what becomes of prompts that are too long.
struct StartupArguments: ParsableArguments {
    @Option(
        name: .customLong("config"),
        help: "A YAML file of flags, 'name: value'; those of the command line count more.")
    var config: String?

    @Flag(
        name: .customLong("lenient_flags"),
        help: "Go on without the features of other servers whose flags are known and not supported.")
    var isLenient = false

    @Option(
        name: .customLong("log_level"),
        help: "What is logged at least: trace, debug, info, notice, warning, error or critical.")
    var logLevel = "info"

    @Option(name: .customLong("log_stats_interval"), help: "Seconds between log lines that say what runs.")
    var statisticsInterval = 10

    @Flag(name: .customLong("disable_log_stats"), help: "Log no such lines.")
    var logsNoStatistics = false

    @Option(
        name: .customLong("long_truncation_mode"),
        help:
            "What goes of prompts that leave their answers no room: head, their beginning, or center, their middle; by default they are refused."
    )
    var truncationMode: PromptTruncation.Mode?

    @Option(
        name: .customLong("max_req_input_len"),
        help:
            "The most tokens of a prompt; longer ones are shortened as --long_truncation_mode says, or refused."
    )
    var maxInputTokens: Int?

    /// The level by any of its names, as LightLLM and others write them.
    private var level: Logger.Level? {
        let name = logLevel.lowercased()
        return Logger.Level(rawValue: name == "warn" ? "warning" : name == "fatal" ? "critical" : name)
    }

    func validate() throws {
        try require(
            level != nil, "log_level", "trace, debug, info, notice, warning, error or critical", logLevel)
        try require(
            (1...1_000_000).contains(statisticsInterval), "log_stats_interval", "between 1 and 1000000",
            statisticsInterval)
        try require(
            (1...Int(Int32.max)).contains(maxInputTokens ?? 1), "max_req_input_len", "at least 1",
            maxInputTokens ?? 0)
    }

    func validate(maxRequestTokens: Int?) throws {
        guard let maxInputTokens, let maxRequestTokens else { return }
        try require(
            maxInputTokens < maxRequestTokens, "max_req_input_len",
            "less than --max_req_total_len \(maxRequestTokens)", maxInputTokens)
    }

    var truncation: PromptTruncation {
        PromptTruncation(mode: truncationMode, maxInputTokens: maxInputTokens)
    }

    func bootstrapLog() {
        let level = level ?? .info
        LoggingSystem.bootstrap { label in
            var handler = StreamLogHandler.standardOutput(label: label)
            handler.logLevel = level
            return handler
        }
    }

    func apply(to configuration: inout Server.Configuration) {
        configuration.statisticsInterval = logsNoStatistics ? nil : .seconds(statisticsInterval)
    }
}

extension PromptTruncation.Mode: ExpressibleByArgument {}

/// What LightLLM reads from the environment and nowhere else.
struct ServerEnvironment {
    private let penalizesPrompt: Bool
    private let failsHealthChecks: Bool

    /// Throws for a variable that would change answers and is not supported.
    init(_ variables: [String: String]) throws {
        func isOn(_ name: String) -> Bool {
            ["on", "true", "1"].contains(variables[name]?.lowercased() ?? "")
        }
        penalizesPrompt = isOn("INPUT_PENALTY")
        failsHealthChecks = isOn("DEBUG_HEALTHCHECK_RETURN_FAIL")
        if let alpha = variables["LIGHTLLM_NTK_ALPHA"], (Double(alpha) ?? 0) != 1 {
            throw ValidationError(
                "LIGHTLLM_NTK_ALPHA is not supported: the checkpoint says how positions are scaled (found \(alpha))"
            )
        }
        if let folder = variables["LIGHTLLM_LOG_DIR"] {
            write(
                "note: LIGHTLLM_LOG_DIR (\(folder)): the log is written to standard output\n",
                to: .standardError)
        }
    }

    func apply(to generator: inout TextGenerator) {
        if penalizesPrompt { generator.standardSampling.penalizesPrompt = true }
    }

    func apply(to configuration: inout Server.Configuration) {
        configuration.failsHealthChecks = failsHealthChecks
    }
}
