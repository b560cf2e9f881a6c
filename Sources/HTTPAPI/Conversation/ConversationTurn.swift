import ChatTemplates
import JSON
import OrderedCollections
import Serving
import TextGeneration
import ToolCalls

/// A conversation that a model is to go on with, whatever interface it came by.
struct ConversationTurn {
    var input: ChatTemplate.Input
    /// The images that the messages mention, in order.
    let images: [MediaReference]
    var offer = ToolOffer()
    var form = AnswerForm()
    /// Whether the answer goes on with the last message instead of beginning one.
    var continuesFinalMessage = false
    var reasoning = ReasoningUse.separated

    /// What becomes of what a model says to itself.
    enum ReasoningUse: Sendable {
        case separated
        case hidden
        /// Left in the text, with its marks.
        case inline
    }

    init(_ conversation: Conversation) {
        input = ChatTemplate.Input(messages: .array(conversation.messages))
        images = conversation.images
        input.addsGenerationPrompt = true
    }

    /// What a request sets by fields of their own, or not at all.
    private static let reservedVariables = [
        "messages", "tools", "documents", "add_generation_prompt", "continue_final_message", "bos_token",
        "eos_token", "chat_template", "tokenize",
    ]

    /// Takes `chat_template_kwargs`, which may not be what other fields are.
    mutating func addVariables(_ fields: inout RequestFields) throws(APIError) {
        guard let value = fields.value("chat_template_kwargs") else { return }
        guard let members = value.object else {
            throw fields.wrong("chat_template_kwargs", "an object", value)
        }
        for reserved in Self.reservedVariables where members[JSONKey(reserved)] != nil {
            throw .invalid(
                "chat_template_kwargs may not set \(reserved)", parameter: "chat_template_kwargs")
        }
        input.variables.merge(members) { $1 }
    }

    /// Takes how much the model is to reason, which only some models can be told.
    mutating func setEffort(_ effort: String, _ generator: TextGenerator) throws(APIError) {
        let source = generator.chatTemplate?.source ?? ""
        if source.contains("reasoning_effort") {
            input.variables["reasoning_effort"] = .string(effort)
        } else if source.contains("enable_thinking") {
            input.variables["enable_thinking"] = .bool(effort != "none" && effort != "minimal")
        } else if effort != "none" {
            throw .invalid("this model cannot be told how much to reason", parameter: "reasoning_effort")
        }
    }

    /// The turn for `generator`, which has looked at `ready`, the turn's images; `makeRequest` makes a request of the
    /// prompt's tokens.
    func prepared(
        _ generator: TextGenerator, _ ready: [ReadyImage], _ makeRequest: ([Int32]) throws -> TextRequest
    ) throws
        -> PreparedTurn
    {
        var (input, format) = (input, generator.answerFormat)
        if offer.tools.isEmpty {
            format.tools = nil
        } else {
            guard format.tools != nil else {
                throw APIError.invalid(
                    "this model's chat template shows no way to call tools; --tool_call_parser may name one",
                    parameter: "tools")
            }
            input.tools = .array(offer.tools.map(\.value))
        }
        let prompt = try generator.prompt(input, continuesFinalMessage: continuesFinalMessage)
        let illustrated = try generator.illustrated(prompt, with: ready)
        var request = try makeRequest(illustrated.tokens)
        request.images = illustrated.images
        let opensInReasoning = format.reasoning?.isOpen(atEndOf: prompt.rendered ?? "") ?? false
        request.detokenization.showsMarkers = true
        let form = try offer.form(for: form, format, opensInReasoning: opensInReasoning).compiled(generator)
        let marker = opensInReasoning ? format.reasoning?.closing : nil
        form.apply(to: &request, after: marker)
        if reasoning == .inline { format.reasoning = nil }
        return PreparedTurn(
            request: request, form: form, formMarker: marker,
            splitter: offer.splitter(format, startsInReasoning: opensInReasoning),
            hidesReasoning: reasoning == .hidden, callIDs: CallIDs(format.tools))
    }
}

/// A turn whose answers can be generated.
struct PreparedTurn: Sendable {
    var request: TextRequest
    let form: CompiledForm
    /// What the part of the answer that has the form comes after; nil when all of it has.
    let formMarker: String?
    /// At the beginning of an answer; nil when answers have no parts.
    let splitter: AnswerSplitter?
    let hidesReasoning: Bool
    let callIDs: CallIDs

    func assembler() -> AnswerAssembler { AnswerAssembler(self) }
}
