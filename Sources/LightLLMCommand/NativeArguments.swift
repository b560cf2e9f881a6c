import ArgumentParser
import Foundation
import HTTPAPI

/// The flags that change LightLLM's own routes, and the environment that does.
struct NativeArguments: ParsableArguments {
    @Flag(
        name: .customLong("use_tgi_api"),
        help: "/generate and /generate_stream have the shapes of text-generation-inference.")
    var usesTGI = false

    @Flag(
        name: .customLong("return_all_prompt_logprobs"),
        help: "/generate reports the log probabilities of the prompt's tokens.")
    var scoresPrompts = false

    @Flag(
        name: .customLong("diverse_mode"),
        help:
            "The answers of a request share one computation of its prompt, as they do anyway; tokens report cumlogprob."
    )
    var isDiverse = false

    /// The modes that are on; they exclude each other.
    private var modes: [(flag: String, mode: GroupMode)] { isDiverse ? [("diverse_mode", .diverse)] : [] }

    func validate() throws {
        let flags = modes.map(\.flag) + (scoresPrompts ? ["return_all_prompt_logprobs"] : [])
        guard flags.count <= 1 else {
            throw ValidationError(flags.map { "--" + $0 }.joined(separator: " and ") + " exclude each other")
        }
    }

    func apply(
        to configuration: inout Server.Configuration,
        environment: [String: String] = ProcessInfo.processInfo.environment
    ) {
        func isOn(_ name: String) -> Bool? {
            environment[name].map { ["on", "true", "1"].contains($0.lowercased()) }
        }
        configuration.native.usesTGI = usesTGI
        configuration.native.scoresPrompts = scoresPrompts
        configuration.native.group = modes.first?.mode ?? .independent
        configuration.native.skipsSpecialTokens = isOn("SKIP_SPECIAL_TOKENS") ?? true
    }
}
