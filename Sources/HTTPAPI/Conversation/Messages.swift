import ChatTemplates
import JSON
import OrderedCollections
import TextGeneration

/// Reads OpenAI's `messages` into the form that chat templates expect.
enum Messages {
    private static let roles: Set<String> = ["system", "developer", "user", "assistant", "tool", "function"]

    static func read(_ fields: inout RequestFields, for generator: TextGenerator) throws(APIError)
        -> [JSONValue]
    {
        guard let value = fields.value("messages") else {
            throw .invalid("messages is missing", parameter: "messages")
        }
        guard let list = value.array else { throw fields.wrong("messages", "a list", value) }
        guard !list.isEmpty else { throw .invalid("messages is empty", parameter: "messages") }
        var messages: [JSONValue] = []
        for (index, message) in list.enumerated() {
            messages.append(try read(message, "messages[\(index)]", for: generator))
        }
        return messages
    }

    private static func read(_ message: JSONValue, _ path: String, for generator: TextGenerator)
        throws(APIError) -> JSONValue
    {
        guard case .object(var members) = message, let role = members["role"]?.string else {
            throw .invalid("\(path) must be an object with a role", parameter: "messages")
        }
        guard roles.contains(role) else {
            throw .invalid(
                "\(path).role must be one of \(roles.sorted().joined(separator: ", "))", parameter: "messages"
            )
        }
        // Models that know no developers take their words for the system's.
        if role == "developer", generator.chatTemplate?.source.contains("developer") != true {
            members["role"] = "system"
        }
        if members["reasoning_content"] == nil, let reasoning = members.removeValue(forKey: "reasoning") {
            members["reasoning_content"] = reasoning
        }
        if let calls = members["tool_calls"], !calls.isNothing {
            guard role == "assistant", let items = calls.array else {
                throw .invalid("\(path).tool_calls must be a list, of an assistant", parameter: "messages")
            }
            var read: [JSONValue] = []
            for (index, call) in items.enumerated() {
                read.append(try toolCall(call, "\(path).tool_calls[\(index)]"))
            }
            members["tool_calls"] = .array(read)
        } else {
            members["tool_calls"] = nil
        }
        members["content"] = try content(
            members["content"], path, mayBeAbsent: role == "assistant" && members["tool_calls"] != nil)
        return .object(members)
    }

    /// Text, or the texts of parts a line each.
    private static func content(_ value: JSONValue?, _ path: String, mayBeAbsent: Bool) throws(APIError)
        -> JSONValue
    {
        switch value {
        case .string(let text)?: return .string(text)
        case nil, .null?:
            guard mayBeAbsent else {
                throw .invalid("\(path).content is missing", parameter: "messages")
            }
            return .null
        case .array(let parts)?:
            var texts: [String] = []
            for (index, part) in parts.enumerated() {
                let type = part["type"]?.string
                guard type == "text" || type == "input_text" || type == "output_text",
                    let text = part["text"]?.string
                else {
                    throw .invalid(
                        "\(path).content[\(index)]: this model reads text only, found a part of type '\(type ?? "none")'",
                        parameter: "messages")
                }
                texts.append(text)
            }
            return .string(texts.joined(separator: "\n"))
        case let other?:
            throw .invalid(
                "\(path).content must be a string or a list of parts, found \(other.kind)",
                parameter: "messages")
        }
    }

    /// Templates write arguments as JSON themselves, so they get them parsed.
    private static func toolCall(_ value: JSONValue, _ path: String) throws(APIError) -> JSONValue {
        guard case .object(var call) = value, case .object(var function)? = call["function"],
            function["name"]?.string != nil
        else {
            throw .invalid("\(path) must be an object with function.name", parameter: "messages")
        }
        switch function["arguments"] {
        case .string(let text)?:
            guard let parsed = try? JSONValue(parsing: text.isEmpty ? "{}" : text), parsed.object != nil
            else {
                throw .invalid(
                    "\(path).function.arguments must be a JSON object as text", parameter: "messages")
            }
            function["arguments"] = parsed
        case .object?: break
        case nil, .null?: function["arguments"] = [:]
        case let other?:
            throw .invalid(
                "\(path).function.arguments must be a JSON object as text, found \(other.kind)",
                parameter: "messages")
        }
        call["function"] = .object(function)
        call["type"] = call["type"] ?? "function"
        return .object(call)
    }
}
