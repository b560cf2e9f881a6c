import JSON
import OrderedCollections
import Serving
import TextGeneration

extension ResponseReply {
    func stream(
        _ merged: AsyncThrowingStream<(Int, TextEvent), any Error>, to events: inout EventWriter
    ) async throws {
        var writer = ResponseWriter(self)
        var (assembler, blocks) = (turn.assembler(), AnswerBlocks(turn.callIDs))
        var usage = TokenUsage(prompt: promptCount)
        for name in ["response.created", "response.in_progress"] {
            try await writer.send(name, ["response": object(.inProgress, [], nil)], to: &events)
        }
        for try await (_, event) in merged {
            if case .started(let count) = event { usage.cached = count }
            guard case .chunk(let chunk) = event else { continue }
            for event in blocks.take(try assembler.take(chunk)) { try await writer.send(event, to: &events) }
            guard let finish = chunk.finish else { continue }
            for event in blocks.finish() { try await writer.send(event, to: &events) }
            (usage.completion, usage.reasoning) = (assembler.tokens, assembler.reasoningTokens)
            let status = finish == .length ? Status.incomplete : .completed
            try await writer.send(
                "response.\(status.rawValue)", ["response": object(status, writer.output, usage)], to: &events
            )
        }
    }
}

/// Writes what happens to an answer's blocks as the events of a response.
private struct ResponseWriter {
    private let reply: ResponseReply
    private var number = 0
    /// The identifier of the item that is open.
    private var item = ""
    /// The items that are done.
    private(set) var output: [JSONValue] = []

    init(_ reply: ResponseReply) { self.reply = reply }

    mutating func send(_ name: String, _ members: JSONValue.Members, to events: inout EventWriter)
        async throws
    {
        var event: JSONValue.Members = ["type": .string(name), "sequence_number": .integer(number)]
        event.merge(members) { $1 }
        number += 1
        try await events.send(name, .object(event))
    }

    mutating func send(_ event: BlockEvent, to events: inout EventWriter) async throws {
        switch event {
        case .opened(let index, let kind): try await open(index, AnswerBlock(kind: kind), to: &events)
        case .added(let index, let kind, let text):
            var members = place(index, kind)
            members["delta"] = .string(text)
            if kind == .text { members["logprobs"] = [] }
            try await send(Self.name(kind) + ".delta", members, to: &events)
        case .closed(let index, let block): try await close(index, block, to: &events)
        }
    }

    private static func name(_ kind: AnswerBlock.Kind) -> String {
        switch kind {
        case .text: "response.output_text"
        case .reasoning: "response.reasoning_text"
        case .call: "response.function_call_arguments"
        }
    }

    /// Where in the response a block is.
    private func place(_ index: Int, _ kind: AnswerBlock.Kind) -> JSONValue.Members {
        var members: JSONValue.Members = ["item_id": .string(item), "output_index": .integer(index)]
        if case .call = kind { return members }
        members["content_index"] = 0
        return members
    }

    private mutating func open(_ index: Int, _ block: AnswerBlock, to events: inout EventWriter) async throws
    {
        item = uniqueID("item_")
        try await send(
            "response.output_item.added",
            ["output_index": .integer(index), "item": reply.item(block, id: item, isDone: false)], to: &events
        )
        if case .call = block.kind { return }
        var members = place(index, block.kind)
        members["part"] = reply.part(block)
        try await send("response.content_part.added", members, to: &events)
    }

    private mutating func close(_ index: Int, _ block: AnswerBlock, to events: inout EventWriter) async throws
    {
        var members = place(index, block.kind)
        if case .call(_, let name) = block.kind {
            (members["name"], members["arguments"]) = (.string(name), .string(block.text))
            try await send(Self.name(block.kind) + ".done", members, to: &events)
        } else {
            members["text"] = .string(block.text)
            if block.kind == .text { members["logprobs"] = [] }
            try await send(Self.name(block.kind) + ".done", members, to: &events)
            members = place(index, block.kind)
            members["part"] = reply.part(block)
            try await send("response.content_part.done", members, to: &events)
        }
        let done = reply.item(block, id: item, isDone: true)
        output.append(done)
        try await send(
            "response.output_item.done", ["output_index": .integer(index), "item": done], to: &events)
    }
}
