import Foundation
import Serving
import TextGeneration
import ToolCalls

/// Takes one answer apart as it comes, and checks at its end that it has the form that was asked for.
struct AnswerAssembler: Sendable {
    private let turn: PreparedTurn
    private var splitter: AnswerSplitter?
    /// Kept where its form is checked.
    private var text = ""
    /// Complete calls so far.
    private(set) var calls = 0
    private(set) var tokens = 0
    /// Tokens that the model said to itself.
    private(set) var reasoningTokens = 0

    init(_ turn: PreparedTurn) { (self.turn, splitter) = (turn, turn.splitter) }

    /// The next parts of the answer. Throws when it has ended in another form.
    mutating func take(_ chunk: TextChunk) throws -> [AnswerEvent] {
        tokens += 1
        var events: [AnswerEvent]
        if splitter != nil {
            events = splitter?.feed(chunk.text) ?? []
            if chunk.finish != nil { events += splitter?.finish() ?? [] }
        } else {
            events = chunk.text.isEmpty ? [] : [.content(chunk.text)]
        }
        if events.contains(where: { if case .reasoning = $0 { true } else { false } }) {
            reasoningTokens += 1
        }
        if turn.hidesReasoning {
            events.removeAll { if case .reasoning = $0 { true } else { false } }
        }
        for case .callEnded(_, _, isComplete: true) in events { calls += 1 }
        try check(chunk)
        return events
    }

    private mutating func check(_ chunk: TextChunk) throws {
        guard case .grammar = turn.form else { return }
        text += chunk.text
        guard chunk.finish != nil else { return }
        var formed = Substring(text)
        if let marker = turn.formMarker {
            guard let end = text.range(of: marker)?.upperBound else { return }
            formed = text[end...].drop { $0 == " " || $0 == "\n" }
        }
        try turn.form.validate(String(formed), chunk.finish, of: turn.request)
    }

    /// Why the answer ended, in OpenAI's words.
    func reason(_ finish: FinishReason?) -> String {
        finish == .stop && calls > 0 ? "tool_calls" : (finish ?? .stop).rawValue
    }
}

/// An answer in its parts.
struct AssembledAnswer {
    private(set) var content = ""
    private(set) var reasoning = ""
    private(set) var calls: [ToolCall] = []
    let tokens: Int
    let reasoningTokens: Int
    /// Why it ended, in OpenAI's words.
    let reason: String

    /// Throws when the answer does not have the form that was asked for.
    init(_ answer: Answer, _ turn: PreparedTurn) throws {
        var assembler = turn.assembler()
        var open: (name: String, arguments: String) = ("", "")
        for chunk in answer.chunks {
            for event in try assembler.take(chunk) {
                switch event {
                case .content(let text): content += text
                case .reasoning(let text): reasoning += text
                case .markup: break
                case .callStarted(_, let name): open = (name, "")
                case .callArguments(_, let text): open.arguments += text
                case .callEnded(_, _, isComplete: true):
                    calls.append(ToolCall(name: open.name, arguments: open.arguments))
                // Nothing is lost of what began as a call and is none.
                case .callEnded(_, let source, isComplete: false): content += source
                }
            }
        }
        (tokens, reasoningTokens) = (assembler.tokens, assembler.reasoningTokens)
        reason = assembler.reason(answer.finish)
    }
}

/// Makes the names of calls, by which a client says whose result it sends.
struct CallIDs: Sendable {
    private let isShort: Bool

    init(_ format: ToolCallFormat?) {
        isShort = format?.family == .mistral || format?.family == .mistralNamed
    }

    /// Mistral's templates take nine letters and digits and nothing else.
    func next() -> String {
        let id = UUID().uuidString.lowercased().replacing("-", with: "")
        return isShort ? String(id.prefix(9)) : "call_" + id.prefix(24)
    }
}
