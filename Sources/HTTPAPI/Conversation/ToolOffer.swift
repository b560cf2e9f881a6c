import JSON
import OrderedCollections

/// A function that a model may call.
struct OfferedTool: Sendable {
    let name: String
    var description: String?
    /// A JSON schema of its arguments.
    var parameters: JSONValue = ["type": "object", "properties": [:]]
    /// Whether its arguments are held to the schema.
    var isStrict = false

    /// The form in which chat templates expect it.
    var value: JSONValue {
        var function: JSONValue.Members = ["name": .string(name)]
        if let description { function["description"] = .string(description) }
        function["parameters"] = parameters
        return ["type": "function", "function": .object(function)]
    }
}

/// Whether a model has to call functions.
enum ToolChoice: Sendable, Equatable {
    case none
    case auto
    case required
    case named(String)
}

/// The functions of a request, and what the model is to do with them.
struct ToolOffer: Sendable {
    private(set) var tools: [OfferedTool] = []
    private(set) var choice = ToolChoice.none
    /// Whether one answer may call several.
    private(set) var allowsSeveralCalls = true

    static let most = 512

    init() {}

    /// Errors: names that are no names or come twice, too many, a choice of a function that is not offered.
    init(_ tools: [OfferedTool], _ choice: ToolChoice?, allowsSeveralCalls: Bool) throws(APIError) {
        guard tools.count <= Self.most else {
            throw .invalid("tools may hold \(Self.most) functions at most", parameter: "tools")
        }
        var names: Set<String> = []
        for (index, tool) in tools.enumerated() {
            guard Self.isName(tool.name) else {
                throw .invalid(
                    "tools[\(index)]: a function's name has 1 to 128 letters, digits, '_', '-' and '.'",
                    parameter: "tools")
            }
            guard names.insert(tool.name).inserted else {
                throw .invalid("tools[\(index)]: '\(tool.name)' is offered twice", parameter: "tools")
            }
        }
        self.choice = choice ?? (tools.isEmpty ? .none : .auto)
        switch self.choice {
        case .required where tools.isEmpty:
            throw .invalid("tool_choice requires a call, but tools is empty", parameter: "tool_choice")
        case .named(let name) where !names.contains(name):
            throw .invalid("tool_choice names a function that is not in tools", parameter: "tool_choice")
        default: break
        }
        self.tools = self.choice == .none ? [] : tools
        self.allowsSeveralCalls = allowsSeveralCalls
    }

    private static func isName(_ text: String) -> Bool {
        (1...128).contains(text.utf8.count)
            && text.utf8.allSatisfy {
                switch $0 {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"),
                    UInt8(ascii: "."):
                    true
                default: false
                }
            }
    }

    /// OpenAI's `tools`, `tool_choice` and `parallel_tool_calls`.
    init(openAI fields: inout RequestFields) throws(APIError) {
        var tools: [OfferedTool] = []
        if let value = fields.value("tools") {
            guard let items = value.array else { throw fields.wrong("tools", "a list", value) }
            for (index, item) in items.prefix(Self.most + 1).enumerated() {
                tools.append(try Self.tool(item, path: "tools[\(index)]"))
            }
        }
        try self.init(
            tools, try Self.choice(fields.value("tool_choice")),
            allowsSeveralCalls: try fields.bool("parallel_tool_calls") ?? true)
    }

    private static func tool(_ value: JSONValue, path: String) throws(APIError) -> OfferedTool {
        var outer = try RequestFields(value, path: path)
        let type = try outer.string("type") ?? "function"
        guard type == "function" else {
            throw .invalid("\(path).type must be function, found '\(type)'", parameter: "tools")
        }
        // The Responses interface has the members of `function` beside the type.
        var function = try RequestFields(outer.value("function") ?? value, path: path + ".function")
        guard let name = try function.string("name") else {
            throw .invalid("\(path).function.name is missing", parameter: "tools")
        }
        var tool = OfferedTool(name: name, description: try function.string("description"))
        if let schema = function.value("parameters") {
            guard schema.object != nil else { throw function.wrong("parameters", "a JSON schema", schema) }
            tool.parameters = schema
        }
        tool.isStrict = try function.bool("strict") ?? false
        return tool
    }

    private static func choice(_ value: JSONValue?) throws(APIError) -> ToolChoice? {
        switch value {
        case nil: return nil
        case .string("none")?: return ToolChoice.none
        case .string("auto")?: return .auto
        case .string("required")?, .string("any")?: return .required
        case let value?:
            guard value["type"]?.string ?? "function" == "function",
                let name = (value["function"]?["name"] ?? value["name"])?.string
            else {
                throw .invalid(
                    "tool_choice must be none, auto, required or {\"type\": \"function\", \"function\": {\"name\": …}}",
                    parameter: "tool_choice")
            }
            return .named(name)
        }
    }
}
