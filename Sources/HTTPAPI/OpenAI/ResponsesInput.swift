import JSON
import OrderedCollections
import TextGeneration

/// Reads the `instructions` and `input` of OpenAI's Responses interface into the form that chat templates expect.
enum ResponsesInput {
    /// A message in the shape of chat completions, and where the request has it.
    private struct Item {
        var message: JSONValue
        let path: String
        var contentName = "content"
    }

    /// `acceptsImages`: whether what users and tools say may have images in it.
    static func read(
        _ fields: inout RequestFields, for generator: TextGenerator, acceptsImages: Bool
    ) throws(APIError) -> Conversation {
        var result: [Item] = []
        if let instructions = try fields.string("instructions") {
            result.append(
                Item(message: ["role": "system", "content": .string(instructions)], path: "instructions"))
        }
        switch fields.value("input") {
        case nil: throw .invalid("input is missing", parameter: "input")
        case .string(let text)?:
            result.append(Item(message: ["role": "user", "content": .string(text)], path: "input"))
        case .array(let items)?:
            guard !items.isEmpty else { throw .invalid("input is empty", parameter: "input") }
            for (index, item) in items.enumerated() { try add(item, "input[\(index)]", to: &result) }
        case let other?: throw fields.wrong("input", "a string or a list of items", other)
        }
        var reader = MessageReader(generator, acceptsImages: acceptsImages, parameter: "input")
        for item in result { try reader.add(item.message, item.path, contentName: item.contentName) }
        return reader.conversation
    }

    private static func add(_ item: JSONValue, _ path: String, to messages: inout [Item]) throws(APIError) {
        switch item["type"]?.string ?? "message" {
        case "message":
            guard let role = item["role"]?.string, let content = item["content"] else {
                throw .invalid("\(path) must have a role and content", parameter: "input")
            }
            messages.append(Item(message: ["role": .string(role), "content": content], path: path))
        case "function_call":
            guard let id = item["call_id"]?.string, let name = item["name"]?.string,
                let arguments = item["arguments"]?.string
            else {
                throw .invalid(
                    "\(path): a function_call has a call_id, a name and arguments", parameter: "input")
            }
            let call: JSONValue = [
                "id": .string(id), "type": "function",
                "function": ["name": .string(name), "arguments": .string(arguments)],
            ]
            addCall(call, path, to: &messages)
        case "function_call_output":
            guard let id = item["call_id"]?.string, let output = item["output"] else {
                throw .invalid("\(path): a function_call_output has a call_id and output", parameter: "input")
            }
            messages.append(
                Item(
                    message: ["role": "tool", "tool_call_id": .string(id), "content": output], path: path,
                    contentName: "output"))
        case "reasoning": break
        case let other:
            throw .invalid("\(path): items of type '\(other)' are not supported", parameter: "input")
        }
    }

    /// Calls that follow what the assistant said belong to that message.
    private static func addCall(_ call: JSONValue, _ path: String, to messages: inout [Item]) {
        if case .object(var last)? = messages.last?.message, last["role"]?.string == "assistant" {
            last["tool_calls"] = .array((last["tool_calls"]?.array ?? []) + [call])
            messages[messages.count - 1].message = .object(last)
        } else {
            messages.append(
                Item(message: ["role": "assistant", "content": nil, "tool_calls": [call]], path: path))
        }
    }
}
