import StructuredOutput
import TextGeneration
import ToolCalls

extension ToolOffer {
    private var definitions: [ToolDefinition] {
        tools.map { ToolDefinition(name: $0.name, parameters: $0.parameters, isStrict: $0.isStrict) }
    }

    /// The form of answers that call the functions as they are to, and otherwise have the form `asked`.
    func form(
        for asked: AnswerForm, _ format: AnswerFormat, opensInReasoning: Bool
    ) throws(APIError) -> AnswerForm {
        guard let tools = format.tools else { return asked }
        let reasoning = opensInReasoning ? nil : format.reasoning
        do throws(StructuredOutputError) {
            switch choice {
            case .none: return asked
            case .named(let name):
                return try asked.replacedAlone(
                    by: .forcedCalls(
                        of: definitions.filter { $0.name == name }, tools, allowsSeveral: false,
                        reasoning: reasoning))
            case .required:
                return try asked.replacedAlone(
                    by: .forcedCalls(
                        of: definitions, tools, allowsSeveral: allowsSeveralCalls, reasoning: reasoning))
            case .auto where !asked.isFree:
                return try asked.widened(
                    by: .forcedCalls(
                        of: definitions, tools, allowsSeveral: allowsSeveralCalls, reasoning: reasoning))
            case .auto where definitions.contains(where: \.isStrict) || !allowsSeveralCalls:
                return asked.replaced(
                    by: try .freeCalls(
                        of: definitions, tools, allowsSeveral: allowsSeveralCalls, reasoning: reasoning))
            case .auto: return asked
            }
        } catch {
            throw APIError(form: error, parameter: "tools")
        }
    }

    /// What takes an answer apart; nil when answers have no parts.
    func splitter(_ format: AnswerFormat, startsInReasoning: Bool) -> AnswerSplitter? {
        guard format.tools != nil || format.reasoning != nil else { return nil }
        let parameters = tools.map { ($0.name, ToolParameters($0.parameters)) }
        return AnswerSplitter(
            tools: format.tools, toolNames: Set(tools.map(\.name)),
            parameters: Dictionary(parameters) { first, _ in first }, reasoning: format.reasoning,
            startsInReasoning: startsInReasoning)
    }
}
