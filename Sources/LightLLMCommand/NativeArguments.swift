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

    @Flag(
        name: .customLong("beam_mode"),
        help: "/generate answers with the best_of likeliest answers that a beam search finds.")
    var searchesBeams = false

    @Flag(
        name: .customLong("token_healing_mode"),
        help: "The last tokens of prompts may be cut otherwise; for /generate and /generate_stream.")
    var healsTokens = false

    @Flag(
        name: .customLong("first_token_constraint_mode"),
        help: "The first token of an answer is one of FIRST_ALLOWED_TOKENS, an environment variable: \"1,2\"."
    )
    var constrainsFirstToken = false

    /// The modes that are on; they exclude each other.
    private func modes(_ environment: [String: String]) -> [(flag: String, mode: GroupMode)] {
        var modes: [(flag: String, mode: GroupMode)] = []
        if isDiverse { modes.append(("diverse_mode", .diverse)) }
        if searchesBeams { modes.append(("beam_mode", .beam)) }
        if healsTokens { modes.append(("token_healing_mode", .tokenHealing)) }
        if constrainsFirstToken {
            let tokens = Self.firstTokens(environment) ?? []
            modes.append(("first_token_constraint_mode", .firstToken(tokens)))
        }
        return modes
    }

    private static func firstTokens(_ environment: [String: String]) -> [Int32]? {
        let parts = (environment["FIRST_ALLOWED_TOKENS"] ?? "").split(separator: ",")
        let tokens = parts.compactMap { Int32($0.trimmingCharacters(in: .whitespaces)) }
        return tokens.count == parts.count && !tokens.isEmpty ? tokens : nil
    }

    func validate() throws {
        let environment = ProcessInfo.processInfo.environment
        if constrainsFirstToken, Self.firstTokens(environment) == nil {
            throw ValidationError(
                "--first_token_constraint_mode needs FIRST_ALLOWED_TOKENS in the environment, token ids as \"1,2\"; found \"\(environment["FIRST_ALLOWED_TOKENS"] ?? "")\""
            )
        }
        let flags = modes(environment).map(\.flag) + (scoresPrompts ? ["return_all_prompt_logprobs"] : [])
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
        configuration.native.group = modes(environment).first?.mode ?? .independent
        configuration.native.skipsSpecialTokens = isOn("SKIP_SPECIAL_TOKENS") ?? true
    }
}
