public import ChatTemplates
import Tokenizers
public import ToolCalls

/// How a model marks the parts of its answers: calls of tools, and what it says to itself.
public struct AnswerFormat: Sendable, Equatable {
    /// Nil when the model is not known to call tools.
    public var tools: ToolCallFormat?
    /// Nil when the model is not known to reason before it answers.
    public var reasoning: ReasoningFormat?

    public init(tools: ToolCallFormat? = nil, reasoning: ReasoningFormat? = nil) {
        (self.tools, self.reasoning) = (tools, reasoning)
    }

    /// What a chat template shows.
    public init(_ template: ChatTemplate) {
        tools = ToolCallFormat(template: template.source)
        reasoning = ReasoningFormat(template: template.source)
    }

    /// The special tokens that are among the markers: answers show them, since their parts are found by them.
    func markers(in tokenizer: Tokenizer) -> Set<Int32> {
        let names = (tools?.markers ?? []) + (reasoning.map { [$0.opening, $0.closing] } ?? [])
        return Set(names.compactMap { tokenizer.id(of: $0) }.filter(tokenizer.isSpecial))
    }
}
