import ArgumentParser
import LightLLM
import ToolCalls

/// How a model's answers are taken apart, where its chat template does not show it.
struct AnswerArguments: ParsableArguments {
    @Option(
        name: .customLong("tool_call_parser"),
        help:
            "How the model writes calls of tools, by the names of vLLM, SGLang or LightLLM (hermes, llama3, mistral, qwen25, …); by default as its chat template shows."
    )
    var toolCallParser: String?

    @Option(
        name: .customLong("reasoning_parser"),
        help: "How the model marks its reasoning (deepseek_r1, qwen3, mistral, …); by default as above.")
    var reasoningParser: String?

    func validate() throws {
        if let toolCallParser {
            try require(
                ToolCallFormat(named: toolCallParser) != nil, "tool_call_parser",
                ToolCallFormat.Family.allCases.map(\.rawValue).joined(separator: ", "), toolCallParser)
        }
        if let reasoningParser {
            try require(
                ReasoningFormat(named: reasoningParser) != nil, "reasoning_parser",
                "deepseek_r1, qwen3, mistral, granite, command_r or seed_oss", reasoningParser)
        }
    }

    func apply(to options: inout TextOptions) {
        options.toolCallFormat = toolCallParser.flatMap { ToolCallFormat(named: $0) }
        options.reasoningFormat = reasoningParser.flatMap { ReasoningFormat(named: $0) }
    }
}
