import ChatTemplates
import JSON
import OrderedCollections
import TextGeneration

/// Reads OpenAI's `messages` into the form that chat templates expect.
enum Messages {
    /// `acceptsImages`: whether what users and tools say may have images in it.
    static func read(
        _ fields: inout RequestFields, for generator: TextGenerator, acceptsImages: Bool
    ) throws(APIError) -> Conversation {
        guard let value = fields.value("messages") else {
            throw .invalid("messages is missing", parameter: "messages")
        }
        guard let list = value.array else { throw fields.wrong("messages", "a list", value) }
        guard !list.isEmpty else { throw .invalid("messages is empty", parameter: "messages") }
        var reader = MessageReader(generator, acceptsImages: acceptsImages, parameter: "messages")
        for (index, message) in list.enumerated() { try reader.add(message, "messages[\(index)]") }
        return reader.conversation
    }
}

/// Reads messages one after the other.
struct MessageReader {
    /// Whether the model's template has a role for developers.
    let knowsDevelopers: Bool
    let acceptsImages: Bool
    /// The member of the body that the messages are in.
    let parameter: String
    private(set) var conversation = Conversation()

    private static let roles: Set<String> = ["system", "developer", "user", "assistant", "tool", "function"]

    init(_ generator: TextGenerator, acceptsImages: Bool, parameter: String) {
        knowsDevelopers = generator.chatTemplate?.source.contains("developer") == true
        (self.acceptsImages, self.parameter) = (acceptsImages, parameter)
    }

    /// `path` is the message's in the body; `contentName` what its content is called there.
    mutating func add(_ message: JSONValue, _ path: String, contentName: String = "content")
        throws(APIError)
    {
        guard case .object(var members) = message, let role = members["role"]?.string else {
            throw .invalid("\(path) must be an object with a role", parameter: parameter)
        }
        guard Self.roles.contains(role) else {
            throw .invalid(
                "\(path).role must be one of \(Self.roles.sorted().joined(separator: ", "))",
                parameter: parameter
            )
        }
        // Models that know no developers take their words for the system's.
        if role == "developer", !knowsDevelopers { members["role"] = "system" }
        if members["reasoning_content"] == nil, let reasoning = members.removeValue(forKey: "reasoning") {
            members["reasoning_content"] = reasoning
        }
        if let calls = members["tool_calls"], !calls.isNothing {
            guard role == "assistant", let items = calls.array else {
                throw .invalid("\(path).tool_calls must be a list, of an assistant", parameter: parameter)
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
            members["content"], "\(path).\(contentName)", of: role, calls: members["tool_calls"])
        conversation.messages.append(.object(members))
    }

    private mutating func content(
        _ value: JSONValue?, _ path: String, of role: String, calls: JSONValue?
    ) throws(APIError) -> JSONValue {
        switch value {
        case .string(let text)?: return .string(text)
        case nil, .null?:
            guard role == "assistant", calls != nil else {
                throw .invalid("\(path) is missing", parameter: parameter)
            }
            return .null
        case .array(let parts)?:
            var content = ContentParts(
                .init(role: role, acceptsImages: acceptsImages), parameter: parameter)
            for (index, part) in parts.enumerated() {
                try content.add(part, at: "\(path)[\(index)]")
            }
            conversation.images += content.images
            return content.content
        case let other?:
            throw .invalid(
                "\(path) must be a string or a list of parts, found \(other.kind)",
                parameter: parameter)
        }
    }

    /// Templates write arguments as JSON themselves, so they get them parsed.
    private func toolCall(_ value: JSONValue, _ path: String) throws(APIError) -> JSONValue {
        guard case .object(var call) = value, case .object(var function)? = call["function"],
            function["name"]?.string != nil
        else {
            throw .invalid("\(path) must be an object with function.name", parameter: parameter)
        }
        switch function["arguments"] {
        case .string(let text)?:
            guard let parsed = try? JSONValue(parsing: text.isEmpty ? "{}" : text), parsed.object != nil
            else {
                throw .invalid(
                    "\(path).function.arguments must be a JSON object as text", parameter: parameter)
            }
            function["arguments"] = parsed
        case .object?: break
        case nil, .null?: function["arguments"] = [:]
        case let other?:
            throw .invalid(
                "\(path).function.arguments must be a JSON object as text, found \(other.kind)",
                parameter: parameter)
        }
        call["function"] = .object(function)
        call["type"] = call["type"] ?? "function"
        return .object(call)
    }
}
