/// How a model writes calls of tools. Found from its chat template.
public struct ToolCallFormat: Sendable, Equatable {
    public enum Family: String, Sendable, CaseIterable {
        /// `<tool_call>{"name": …, "arguments": {…}}</tool_call>`: Hermes, Qwen 2.5 and 3.
        case hermes
        /// `{"name": …, "parameters": {…}}` as the whole answer, or after `<|python_tag|>`: Llama 3.1 on.
        case llama3
        /// `[TOOL_CALLS][{"name": …, "arguments": {…}}]` or `[TOOL_CALLS]name[ARGS]{…}`.
        case mistral
        /// `<｜tool▁call▁begin｜>function<｜tool▁sep｜>name`, then the arguments between fences; or the name
        /// before the separator and the arguments after it.
        case deepSeek = "deepseek"
        /// `<|tool_call|>[{…}]` or `functools[{…}]`: Phi 4, Granite.
        case phi
        /// ``Action: ```json [{"tool_name": …, "parameters": {…}}] ```  `` or between action markers.
        case commandR = "command-r"
    }

    public let family: Family
    /// Markers that calls begin with.
    let opening: [[UInt8]]
    /// Markers that end them; without any, they end with the list or the object.
    let closing: [[UInt8]]
    /// Markers in between.
    let inner: [[UInt8]]
    /// What follows a name that stands before its arguments; empty when names stand within objects.
    let afterName: [[UInt8]]
    /// Whether an answer that begins with an object may be a call.
    let startsBare: Bool

    public init(_ family: Family) {
        self.family = family
        func bytes(_ texts: String...) -> [[UInt8]] { texts.map { Array($0.utf8) } }
        switch family {
        case .hermes:
            (opening, closing) = (bytes("<tool_call>"), bytes("</tool_call>"))
            (inner, afterName, startsBare) = ([], [], false)
        case .llama3:
            (opening, closing) = (bytes("<|python_tag|>"), [])
            (inner, afterName, startsBare) = (bytes(";"), [], true)
        case .mistral:
            (opening, closing) = (bytes("[TOOL_CALLS]"), [])
            (inner, afterName, startsBare) = ([], bytes("[ARGS]"), false)
        case .deepSeek:
            opening = bytes("<｜tool▁calls▁begin｜>", "<｜tool▁call▁begin｜>")
            closing = bytes("<｜tool▁calls▁end｜>")
            inner = bytes("<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>", "```json", "```")
            (afterName, startsBare) = (bytes("<｜tool▁sep｜>"), false)
        case .phi:
            (opening, closing) = (bytes("<|tool_call|>", "functools"), bytes("<|/tool_call|>"))
            (inner, afterName, startsBare) = ([], [], false)
        case .commandR:
            (opening, closing) = (
                bytes("Action: ```json", "Action:```json", "<|START_ACTION|>"), bytes("```", "<|END_ACTION|>")
            )
            (inner, afterName, startsBare) = ([], [], false)
        }
    }

    /// All that it writes beside names and arguments. A tokenizer may have tokens of their own for these.
    public var markers: [String] {
        (opening + closing + inner + afterName).map { String(decoding: $0, as: UTF8.self) }
    }

    /// The format that a chat template shows; nil when it shows none that is known.
    public init?(template: String) {
        func has(_ text: String) -> Bool { template.contains(text) }
        if has("<function=") || has("<arg_key>") { return nil }
        if has("[TOOL_CALLS]") {
            self.init(.mistral)
        } else if has("<｜tool▁call▁begin｜>") {
            self.init(.deepSeek)
        } else if has("<tool_call>") {
            self.init(.hermes)
        } else if has("<|tool_call|>") || has("functools") {
            self.init(.phi)
        } else if has("<|START_ACTION|>") || has("Action:") && has("tool_name") {
            self.init(.commandR)
        } else if has("<|python_tag|>") || has("\"parameters\": dictionary of argument name") {
            self.init(.llama3)
        } else {
            return nil
        }
    }
}

/// How a model marks what it says to itself. Found from its chat template.
public struct ReasoningFormat: Sendable, Equatable {
    public let opening: String
    public let closing: String

    public init(opening: String, closing: String) { (self.opening, self.closing) = (opening, closing) }

    public static let think = ReasoningFormat(opening: "<think>", closing: "</think>")

    /// The format that a chat template shows; nil when it shows none that is known.
    public init?(template: String) {
        if template.contains("</think>") {
            self = .think
        } else if template.contains("<|START_THINKING|>") {
            self.init(opening: "<|START_THINKING|>", closing: "<|END_THINKING|>")
        } else {
            return nil
        }
    }

    /// Whether a prompt ends within reasoning, so that the answer goes on with it.
    public func isOpen(atEndOf prompt: String) -> Bool {
        var rest = Substring(prompt)
        while rest.last?.isWhitespace == true { rest.removeLast() }
        return rest.hasSuffix(opening)
    }
}
