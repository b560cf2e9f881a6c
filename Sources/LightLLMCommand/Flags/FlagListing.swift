import ArgumentParser

/// Prints what becomes of every flag.
struct FlagListing: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "flags",
        abstract:
            "Print the flags of the server, and what becomes of those of other servers, as a Markdown page.")

    func run() { print(Self.page, terminator: "") }

    static let page = """
        # Flags of `lightllm serve`

        This page is what `lightllm flags` prints. Flags may be written with `-` or `_`, as `--flag value` or `--flag=value`,
        or by their beginning where no other flag of ours or of LightLLM begins so. The model may come first:
        `lightllm serve MODEL`.

        A flag counts as the command line has it; else as the file has it that `--config` names, YAML with lines of
        `flag: value`, `flag: [value, value]` or `flag: true`; else as the environment has it, `LIGHTLLM_` and the flag in
        capitals: `LIGHTLLM_MAX_TOTAL_TOKEN_NUM=100000`. Also read from the environment: `LIGHTLLM_API_KEY`,
        `INPUT_PENALTY` (1: `input_penalty` holds unless a request says otherwise), `DEBUG_HEALTHCHECK_RETURN_FAIL`
        (true: `/health` fails).

        ## Ours

        | flag | by default | |
        |---|---|---|
        \(DeclaredFlags.serve.all.map(row).joined(separator: "\n"))

        ## Those of other servers, and of LightLLM

        Flags of LightLLM, vLLM, SGLang, text-generation-inference and llama.cpp that the server does not have are
        understood where they mean something here, noted where they would only tune what does not exist here, and refused
        where answers or promises would not be what was asked for. With `--lenient_flags` a refused one is only noted.

        \(FlagTable.sections.map { section($0.origin) }.joined(separator: "\n\n"))

        """

    private static func row(_ flag: DeclaredFlags.Flag) -> String {
        "| `--\(flag.name)` | \(flag.standard.map { "`\($0)`" } ?? "") | \(escaped(flag.help)) |"
    }

    private static func section(_ origin: FlagRow.Origin) -> String {
        let rows = FlagTable.rules.filter { $0.origin == origin && DeclaredFlags.serve[$0.name] == nil }
        return """
            ### \(origin.rawValue)

            | flag | |
            |---|---|
            \(rows.map { "| `\($0.spelling)` | \(escaped($0.outcome)) |" }.joined(separator: "\n"))
            """
    }

    private static func escaped(_ text: String) -> String { text.replacing("|", with: "\\|") }
}

extension FlagRule {
    /// What becomes of it, in words.
    var outcome: String {
        switch meaning {
        case .alias(let target, _, let renamed):
            guard DeclaredFlags.serve[target] != nil else {
                return "refused: `--\(target)` is not supported yet"
            }
            let words = renamed.keys.sorted().map { value in
                let ours = renamed[value] ?? ""
                return "`\(value)` " + (ours.isEmpty ? "does nothing" : "is `\(ours)`")
            }
            return "`--\(target)`" + (words.isEmpty ? "" : "; " + words.joined(separator: ", "))
        case .sets(let target, let value): return "`--\(target) \(value)`"
        case .noted(let reason): return "does nothing: \(reason)"
        case .refused(let reason): return "refused: \(reason)"
        case .sharedContext:
            return
                "`--max_total_token_num`, and `--max_req_total_len` the same divided by `-np` (undivided with `-kvu`)"
        case .parallel: return "`--running_max_req_size`; divides `-c`"
        case .choices(let choices, let others):
            let words = choices.keys.sorted().map { value in
                switch choices[value] {
                case .flag(let target, let ours)?:
                    "`\(value)` is `--\(target)\(ours.map { " " + $0 } ?? "")`"
                case .nothing(let reason)?: "`\(value)` does nothing (\(reason))"
                case nil: ""
                }
            }
            let rest =
                switch others {
                case .refused(let reason): "other values are refused: \(reason)"
                case .noted(let reason): "other values do nothing: \(reason)"
                }
            return (words + [rest]).joined(separator: "; ")
        }
    }
}
