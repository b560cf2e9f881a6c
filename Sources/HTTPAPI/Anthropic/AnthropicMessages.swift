import JSON
import OrderedCollections

/// Reads Anthropic's `system` and `messages` into the form that chat templates expect.
enum AnthropicMessages {
    static func read(_ fields: inout RequestFields) throws(APIError) -> [JSONValue] {
        var result: [JSONValue] = []
        if let system = fields.value("system") {
            result.append(["role": "system", "content": .string(try text(system, "system"))])
        }
        guard let value = fields.value("messages") else {
            throw .invalid("messages is missing", parameter: "messages")
        }
        guard let list = value.array, !list.isEmpty else {
            throw .invalid("messages must be a list of at least one message", parameter: "messages")
        }
        for (index, message) in list.enumerated() {
            let path = "messages[\(index)]"
            switch message["role"]?.string {
            case "user": result += try user(message["content"] ?? .null, path)
            case "assistant": result.append(try assistant(message["content"] ?? .null, path))
            case let other:
                throw .invalid(
                    "\(path).role must be user or assistant, found '\(other ?? "none")'",
                    parameter: "messages")
            }
        }
        return result
    }

    /// A string, or the texts of blocks a line each.
    private static func text(_ value: JSONValue, _ path: String) throws(APIError) -> String {
        if let text = value.string { return text }
        guard let blocks = value.array else {
            throw .invalid("\(path) must be a string or a list of blocks", parameter: "messages")
        }
        var texts: [String] = []
        for (index, block) in blocks.enumerated() {
            guard block["type"]?.string == "text", let text = block["text"]?.string else {
                throw unreadable(block, "\(path)[\(index)]")
            }
            texts.append(text)
        }
        return texts.joined(separator: "\n")
    }

    private static func unreadable(_ block: JSONValue, _ path: String) -> APIError {
        .invalid(
            "\(path): this model reads text only, found a block of type '\(block["type"]?.string ?? "none")'",
            parameter: "messages")
    }

    /// What tools said, each a message of its own, and then what the user says.
    private static func user(_ content: JSONValue, _ path: String) throws(APIError) -> [JSONValue] {
        guard let blocks = content.array else {
            return [["role": "user", "content": .string(try text(content, path + ".content"))]]
        }
        var results: [JSONValue] = []
        var texts: [JSONValue] = []
        for (index, block) in blocks.enumerated() {
            guard block["type"]?.string == "tool_result" else {
                texts.append(block)
                continue
            }
            let place = "\(path).content[\(index)]"
            guard let id = block["tool_use_id"]?.string else {
                throw .invalid("\(place).tool_use_id is missing", parameter: "messages")
            }
            results.append([
                "role": "tool", "tool_call_id": .string(id),
                "content": .string(try text(block["content"] ?? "", place + ".content")),
            ])
        }
        guard !texts.isEmpty || results.isEmpty else { return results }
        return results + [["role": "user", "content": .string(try text(.array(texts), path + ".content"))]]
    }

    private static func assistant(_ content: JSONValue, _ path: String) throws(APIError) -> JSONValue {
        guard let blocks = content.array else {
            return ["role": "assistant", "content": .string(try text(content, path + ".content"))]
        }
        var (texts, reasoning, calls): ([String], [String], [JSONValue]) = ([], [], [])
        for (index, block) in blocks.enumerated() {
            let place = "\(path).content[\(index)]"
            switch block["type"]?.string {
            case "text": texts.append(try text([block], place))
            case "thinking": reasoning.append(block["thinking"]?.string ?? "")
            case "redacted_thinking": break
            case "tool_use":
                guard let id = block["id"]?.string, let name = block["name"]?.string,
                    let input = block["input"], input.object != nil
                else {
                    throw .invalid(
                        "\(place): a tool_use block has an id, a name and an object as input",
                        parameter: "messages")
                }
                calls.append([
                    "id": .string(id), "type": "function",
                    "function": ["name": .string(name), "arguments": input],
                ])
            default: throw unreadable(block, place)
            }
        }
        var message: JSONValue.Members = [
            "role": "assistant", "content": .string(texts.joined(separator: "\n")),
        ]
        if !reasoning.isEmpty {
            message["reasoning_content"] = .string(reasoning.joined(separator: "\n"))
        }
        if !calls.isEmpty { message["tool_calls"] = .array(calls) }
        return .object(message)
    }

    /// Anthropic's `tools` and `tool_choice`.
    static func offer(_ fields: inout RequestFields) throws(APIError) -> ToolOffer {
        var tools: [OfferedTool] = []
        if let value = fields.value("tools") {
            guard let items = value.array else { throw fields.wrong("tools", "a list", value) }
            for (index, item) in items.prefix(ToolOffer.most + 1).enumerated() {
                tools.append(try tool(item, "tools[\(index)]"))
            }
        }
        var (choice, allowsSeveral): (ToolChoice?, Bool) = (nil, true)
        if let value = fields.value("tool_choice") {
            var inner = try RequestFields(value, path: "tool_choice")
            allowsSeveral = try !(inner.bool("disable_parallel_tool_use") ?? false)
            switch try inner.string("type") {
            case "auto": choice = .auto
            case "any": choice = .required
            case "none": choice = ToolChoice.none
            case "tool":
                guard let name = try inner.string("name") else {
                    throw .invalid("tool_choice.name is missing", parameter: "tool_choice")
                }
                choice = .named(name)
            case let other:
                throw .invalid(
                    "tool_choice.type must be auto, any, tool or none, found '\(other ?? "none")'",
                    parameter: "tool_choice")
            }
        }
        return try ToolOffer(tools, choice, allowsSeveralCalls: allowsSeveral)
    }

    private static func tool(_ value: JSONValue, _ path: String) throws(APIError) -> OfferedTool {
        var inner = try RequestFields(value, path: path)
        let type = try inner.string("type") ?? "custom"
        guard type == "custom" else {
            throw .invalid("\(path).type must be custom, found '\(type)'", parameter: "tools")
        }
        guard let name = try inner.string("name") else {
            throw .invalid("\(path).name is missing", parameter: "tools")
        }
        var tool = OfferedTool(name: name, description: try inner.string("description"))
        guard let schema = inner.value("input_schema"), schema.object != nil else {
            throw .invalid("\(path).input_schema must be a JSON schema", parameter: "tools")
        }
        tool.parameters = schema
        tool.isStrict = try inner.bool("strict") ?? false
        return tool
    }
}
