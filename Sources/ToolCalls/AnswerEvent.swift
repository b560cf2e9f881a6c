/// A part of an answer, in the order of the text. Together the texts of content, reasoning and markup and the
/// sources of calls are the answer's text, byte for byte.
public enum AnswerEvent: Sendable, Equatable {
    case content(String)
    /// What a model says to itself before it answers.
    case reasoning(String)
    /// Text that only separates the others: markers, and space around them.
    case markup(String)
    /// A call of a tool begins; calls are counted from 0.
    case callStarted(index: Int, name: String)
    /// The next piece of the call's arguments, a JSON object as text.
    case callArguments(index: Int, String)
    /// The call has ended. `source` is all that stands for it in the answer; it is not complete when the
    /// answer ended or went wrong within it.
    case callEnded(index: Int, source: String, isComplete: Bool)
}

/// A finished call of a tool.
public struct ToolCall: Sendable, Equatable {
    public let name: String
    /// A JSON object as text.
    public let arguments: String

    public init(name: String, arguments: String) { (self.name, self.arguments) = (name, arguments) }
}

/// An answer taken apart.
public struct SplitAnswer: Sendable, Equatable {
    public private(set) var content = ""
    public private(set) var reasoning = ""
    public private(set) var calls: [ToolCall] = []

    public init(_ events: some Sequence<AnswerEvent>) {
        var open: (name: String, arguments: String) = ("", "")
        for event in events {
            switch event {
            case .content(let text): content += text
            case .reasoning(let text): reasoning += text
            case .markup: break
            case .callStarted(_, let name): open = (name, "")
            case .callArguments(_, let text): open.arguments += text
            case .callEnded: calls.append(ToolCall(name: open.name, arguments: open.arguments))
            }
        }
    }
}
