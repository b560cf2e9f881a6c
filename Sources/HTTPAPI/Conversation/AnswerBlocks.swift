import TextGeneration
import ToolCalls

/// A run of one kind in an answer.
struct AnswerBlock: Sendable, Equatable {
    enum Kind: Sendable, Equatable {
        case text
        case reasoning
        case call(id: String, name: String)
    }

    let kind: Kind
    /// What it says; of a call its arguments.
    var text = ""
}

/// What happens to the blocks of an answer as it comes.
enum BlockEvent: Sendable, Equatable {
    case opened(index: Int, AnswerBlock.Kind)
    case added(index: Int, AnswerBlock.Kind, String)
    case closed(index: Int, AnswerBlock)
}

/// Gathers the parts of an answer into blocks, of which one is open at a time.
struct AnswerBlocks: Sendable {
    private(set) var blocks: [AnswerBlock] = []
    private var isOpen = false
    private let callIDs: CallIDs

    init(_ callIDs: CallIDs) { self.callIDs = callIDs }

    mutating func take(_ events: [AnswerEvent]) -> [BlockEvent] {
        var result: [BlockEvent] = []
        for event in events {
            switch event {
            case .content(let text): result += add(text, to: .text)
            case .reasoning(let text): result += add(text, to: .reasoning)
            case .markup: break
            case .callStarted(_, let name):
                result += close() + open(.call(id: callIDs.next(), name: name))
            case .callArguments(_, let text): result += extend(text)
            case .callEnded: result += close()
            }
        }
        return result
    }

    /// The answer has ended.
    mutating func finish() -> [BlockEvent] { close() }

    private mutating func add(_ text: String, to kind: AnswerBlock.Kind) -> [BlockEvent] {
        let begun = isOpen && blocks.last?.kind == kind ? [] : close() + open(kind)
        return begun + extend(text)
    }

    private mutating func open(_ kind: AnswerBlock.Kind) -> [BlockEvent] {
        blocks.append(AnswerBlock(kind: kind))
        isOpen = true
        return [.opened(index: blocks.count - 1, kind)]
    }

    private mutating func extend(_ text: String) -> [BlockEvent] {
        guard isOpen, !text.isEmpty, let last = blocks.indices.last else { return [] }
        blocks[last].text += text
        return [.added(index: last, blocks[last].kind, text)]
    }

    private mutating func close() -> [BlockEvent] {
        guard isOpen, let last = blocks.indices.last else { return [] }
        isOpen = false
        return [.closed(index: last, blocks[last])]
    }
}
