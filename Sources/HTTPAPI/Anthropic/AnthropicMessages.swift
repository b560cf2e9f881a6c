import JSON
import OrderedCollections

/// Reads Anthropic's `system` and `messages` into the form that chat templates expect.
enum AnthropicMessages {
    /// `acceptsImages`: whether what users and tools say may have images in it.
    static func read(_ fields: inout RequestFields, acceptsImages: Bool) throws(APIError) -> Conversation {
        var result = Conversation()
        func text(_ value: JSONValue, _ path: String) throws(APIError) -> JSONValue {
            try content(value, path, .init(role: "system", acceptsImages: acceptsImages)).content
        }
        if let system = fields.value("system") {
            result.messages.append(["role": "system", "content": try text(system, "system")])
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
            case "user":
                try addUser(
                    message["content"] ?? .null, path, .init(role: "user", acceptsImages: acceptsImages),
                    to: &result)
            case "assistant":
                result.messages.append(
                    try assistant(
                        message["content"] ?? .null, path,
                        .init(role: "assistant", acceptsImages: acceptsImages)))
            case let other:
                throw .invalid(
                    "\(path).role must be user or assistant, found '\(other ?? "none")'",
                    parameter: "messages")
            }
        }
        return result
    }

    /// A string, or blocks.
    private static func content(
        _ value: JSONValue, _ path: String, _ kind: ContentParts.Kind
    ) throws(APIError) -> ContentParts {
        var parts = ContentParts(kind, parameter: "messages")
        if value.string != nil {
            try parts.add(["type": "text", "text": value], at: path)
            return parts
        }
        guard let blocks = value.array else {
            throw .invalid("\(path) must be a string or a list of blocks", parameter: "messages")
        }
        for (index, block) in blocks.enumerated() { try parts.add(block, at: "\(path)[\(index)]") }
        return parts
    }

    /// What tools said, each a message of its own, and then what the user says.
    private static func addUser(
        _ value: JSONValue, _ path: String, _ kind: ContentParts.Kind, to conversation: inout Conversation
    ) throws(APIError) {
        let path = path + ".content"
        let blocks = value.array ?? []
        var own =
            value.array == nil ? try content(value, path, kind) : ContentParts(kind, parameter: "messages")
        for (index, block) in blocks.enumerated() {
            let place = "\(path)[\(index)]"
            guard block["type"]?.string == "tool_result" else {
                try own.add(block, at: place)
                continue
            }
            guard let id = block["tool_use_id"]?.string else {
                throw .invalid("\(place).tool_use_id is missing", parameter: "messages")
            }
            let result = try content(block["content"] ?? "", place + ".content", kind)
            conversation.messages.append([
                "role": "tool", "tool_call_id": .string(id), "content": result.content,
            ])
            conversation.images += result.images
        }
        // A message of results alone says nothing of its own.
        if own.isEmpty, !blocks.isEmpty { return }
        conversation.messages.append(["role": "user", "content": own.content])
        conversation.images += own.images
    }

    private static func assistant(
        _ value: JSONValue, _ path: String, _ kind: ContentParts.Kind
    ) throws(APIError) -> JSONValue {
        guard let blocks = value.array else {
            return ["role": "assistant", "content": try content(value, path + ".content", kind).content]
        }
        var said = ContentParts(kind, parameter: "messages")
        var (reasoning, calls): ([String], [JSONValue]) = ([], [])
        for (index, block) in blocks.enumerated() {
            let place = "\(path).content[\(index)]"
            switch block["type"]?.string {
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
            default: try said.add(block, at: place)
            }
        }
        var message: JSONValue.Members = ["role": "assistant", "content": said.content]
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
