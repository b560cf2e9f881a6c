import ArgumentParser

/// The command line of `serve` or `plan` as the parser wants it: with the flags of other servers and of LightLLM
/// turned into ours, those of a configuration file (`--config`) beneath them, and those of the environment
/// (`LIGHTLLM_MAX_TOTAL_TOKEN_NUM=…`) beneath these.
struct ServingCommandLine {
    let arguments: [String]
    /// What to say about flags that do nothing, a line each.
    let notes: [String]

    /// Throws for flags that are known and cannot be honoured, and for files that cannot be read.
    init(_ arguments: [String], environment: [String: String]) throws {
        let command = arguments.first.flatMap { $0.hasPrefix("-") ? nil : $0 }
        let declared = command == "plan" ? DeclaredFlags.serve.with(.plan) : .serve
        let dictionary = FlagDictionary(declared: declared)
        var line = try ScannedArguments(Array(arguments.dropFirst(command == nil ? 0 : 1)), dictionary)
        if command != nil { line.takeModel() }
        let variables = Self.uses(of: environment, dictionary)
        var layers = [line.uses, variables]
        if let use = (line.uses + variables).first(where: { $0.name == "config" }), let path = use.values.last
        {
            layers.insert(try ConfigurationFile.uses(path: path, dictionary), at: 1)
        }
        let isLenient = layers.joined().contains { $0.name == "lenient_flags" && $0.values != ["false"] }
        var (flags, notes): ([ResolvedFlag], [String]) = ([], [])
        for layer in layers {
            var resolver = FlagResolver(dictionary, isLenient: isLenient)
            try resolver.add(layer)
            let above = Set(flags.flatMap { [$0.name] + (Self.opposites[$0.name] ?? []) })
            flags += resolver.flags.filter { !above.contains($0.name) }
            notes += resolver.notes
        }
        try Self.validate(flags)
        // What one command declares and the other does not, the other has no use for.
        let target = command == "plan" ? DeclaredFlags.plan : .serve
        self.arguments =
            (command.map { [$0] } ?? [])
            + flags.filter { target[$0.name] != nil }.flatMap { Self.words($0, target) } + line.others
        self.notes = notes
    }

    private static func words(_ flag: ResolvedFlag, _ declared: DeclaredFlags) -> [String] {
        flag.values.isEmpty
            ? ["--" + flag.name]
            : flag.values.flatMap { $0.isEmpty ? ["--" + flag.name, ""] : ["--\(flag.name)=\($0)"] }
    }

    /// Flags that the environment sets. Keys are read where they are used, so that they are not shown anywhere.
    private static func uses(of environment: [String: String], _ dictionary: FlagDictionary) -> [FlagUse] {
        dictionary.declared.all.compactMap { flag in
            let variable = "LIGHTLLM_" + flag.name.uppercased().replacing("-", with: "_")
            guard !["api_key", "help", "version"].contains(flag.name), let text = environment[variable],
                !text.isEmpty
            else { return nil }
            var values = [text]
            if case .several = flag.values {
                values = text.split { $0 == "," || $0 == " " }.map(String.init)
            }
            return FlagUse(spelling: variable, name: flagName(flag.name), values: values)
        }
    }

    /// Above the one the other has no say.
    private static let opposites = [
        "use_dynamic_prompt_cache": ["disable_dynamic_prompt_cache", "no_enable_prefix_caching"],
        "disable_dynamic_prompt_cache": ["use_dynamic_prompt_cache"],
        "no_enable_prefix_caching": ["use_dynamic_prompt_cache"],
        "disable_log_stats": ["log_stats_interval"], "log_stats_interval": ["disable_log_stats"],
    ]

    /// At most one of them is what LightLLM starts with.
    private static let exclusive = [
        "beam_mode", "diverse_mode", "token_healing_mode", "use_reward_model", "return_all_prompt_logprobs",
        "first_token_constraint_mode",
    ]

    private static func validate(_ flags: [ResolvedFlag]) throws {
        let modes = flags.filter { exclusive.contains($0.name) }
        guard modes.count <= 1 else {
            throw ValidationError(
                "\(modes.map(\.spelling).joined(separator: " and ")) exclude each other")
        }
        let ratio = flags.first { $0.name == "router_token_ratio" }?.values.last.flatMap { Double($0) } ?? 0
        if let mode = modes.first, ["beam_mode", "diverse_mode"].contains(mode.name), ratio != 0 {
            throw ValidationError("\(mode.spelling) needs --router_token_ratio to be 0.0, found \(ratio)")
        }
        if let mode = modes.first, ["beam_mode", "token_healing_mode"].contains(mode.name),
            let cache = flags.first(where: { $0.name == "use_dynamic_prompt_cache" })
        {
            throw ValidationError("\(mode.spelling) and \(cache.spelling) exclude each other")
        }
    }
}

/// A command line whose flags have the spelling that commands declare: `--max-new-tokens` means `--max_new_tokens`.
/// Those of `serve` and `plan` may be other servers' too.
struct NormalizedArguments {
    let arguments: [String]
    /// What to say about flags that do nothing, a line each.
    let notes: [String]

    init(_ arguments: [String], environment: [String: String]) throws {
        if arguments.first.map({ ["serve", "plan"].contains($0) || $0.hasPrefix("-") }) ?? true {
            let line = try ServingCommandLine(arguments, environment: environment)
            (self.arguments, notes) = (line.arguments, line.notes)
        } else {
            (self.arguments, notes) = (arguments.map(Self.normalized), [])
        }
    }

    private static func normalized(_ argument: String) -> String {
        guard argument.hasPrefix("--"), argument.count > 2 else { return argument }
        let parts = argument.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        let name = "--" + flagName(parts[0])
        return parts.count > 1 ? "\(name)=\(parts[1])" : name
    }
}

func normalizedFlags(_ arguments: [String]) throws -> [String] {
    try NormalizedArguments(arguments, environment: [:]).arguments
}
