/// How calls of a format are written, for those who see to it that a model writes them so.
public struct CallLayout: Sendable, Equatable {
    public enum Part: Sendable, Equatable {
        case text(String)
        case name
        /// A number that tells calls apart.
        case number
        case arguments
    }

    /// How arguments are written.
    public enum Arguments: Sendable, Equatable {
        /// As a JSON object.
        case json
        /// Each between its tags. Strings are written as they are, other values as JSON.
        case tagged(beforeKey: String, afterKey: String, afterValue: String, valueEnd: String, end: String)
        /// `key=value`, with literals of Python.
        case python
    }

    /// What calls begin with, the usual one first. Empty where they begin with the call itself.
    public let triggers: [String]
    /// Between a trigger and the first call.
    public let opening: String
    public let call: [Part]
    public let separator: String
    public let closing: String
    /// Whether each call has a trigger and a closing of its own.
    public let isBlock: Bool
    public let arguments: Arguments

    private init(
        _ triggers: [String], _ opening: String, _ call: [Part], _ separator: String, _ closing: String,
        isBlock: Bool = false, arguments: Arguments = .json
    ) {
        (self.triggers, self.opening, self.call, self.separator) = (triggers, opening, call, separator)
        (self.closing, self.isBlock, self.arguments) = (closing, isBlock, arguments)
    }

    public init(_ format: ToolCallFormat) {
        let usual: [Part] = [
            .text("{\"name\": \""), .name, .text("\", \"arguments\": "), .arguments, .text("}"),
        ]
        let parameters: [Part] = [
            .text("{\"name\": \""), .name, .text("\", \"parameters\": "), .arguments, .text("}"),
        ]
        let markers = format.opening.map { String(decoding: $0, as: UTF8.self) }
        self =
            switch format.family {
            case .hermes: Self(markers, "\n", usual, "\n", "\n</tool_call>", isBlock: true)
            case .llama3: Self([], "", parameters, "; ", "")
            case .mistral: Self(markers, " [", usual, ", ", "]")
            case .mistralNamed:
                Self(markers, "", [.name, .text("[ARGS]"), .arguments], "", "", isBlock: true)
            case .deepSeek:
                Self(
                    ["<｜tool▁calls▁begin｜>"], "",
                    [
                        .text("<｜tool▁call▁begin｜>function<｜tool▁sep｜>"), .name, .text("\n```json\n"),
                        .arguments, .text("\n```<｜tool▁call▁end｜>"),
                    ], "\n", "<｜tool▁calls▁end｜>")
            case .deepSeekNamed:
                Self(
                    ["<｜tool▁calls▁begin｜>"], "",
                    [
                        .text("<｜tool▁call▁begin｜>"), .name, .text("<｜tool▁sep｜>"), .arguments,
                        .text("<｜tool▁call▁end｜>"),
                    ], "", "<｜tool▁calls▁end｜>")
            case .phi: Self(["<|tool_call|>"], "[", usual, ", ", "]<|/tool_call|>")
            case .phiFunctools: Self(["functools"], "[", usual, ", ", "]")
            case .granite: Self(["<|tool_call|>"], "[", usual, ", ", "]")
            case .commandR:
                Self(
                    ["Action: ```json", "Action:```json", "Action:\n```json"], "\n[\n    ",
                    [
                        .text("{\n        \"tool_name\": \""), .name, .text("\",\n        \"parameters\": "),
                        .arguments, .text("\n    }"),
                    ], ",\n    ", "\n]\n```")
            case .commandR7B:
                Self(
                    ["<|START_ACTION|>"], "[\n    ",
                    [
                        .text("{\"tool_call_id\": \""), .number, .text("\", \"tool_name\": \""), .name,
                        .text("\", \"parameters\": "), .arguments, .text("}"),
                    ], ",\n    ", "\n]<|END_ACTION|>")
            case .qwen3Coder:
                Self(
                    markers, "\n", [.text("<function="), .name, .text(">\n"), .arguments], "\n",
                    "\n</tool_call>", isBlock: true,
                    arguments: .tagged(
                        beforeKey: "<parameter=", afterKey: ">\n", afterValue: "\n</parameter>\n",
                        valueEnd: "</parameter>", end: "</function>"))
            case .glm:
                Self(
                    markers, "", [.name, .text("\n"), .arguments], "\n", "", isBlock: true,
                    arguments: .tagged(
                        beforeKey: "<arg_key>", afterKey: "</arg_key>\n<arg_value>",
                        afterValue: "</arg_value>\n", valueEnd: "</arg_value>", end: "</tool_call>"))
            case .pythonic:
                Self([], "[", [.name, .text("("), .arguments, .text(")")], ", ", "]", arguments: .python)
            case .lfm2:
                Self(
                    markers, "[", [.name, .text("("), .arguments, .text(")")], ", ", "]<|tool_call_end|>",
                    arguments: .python)
            }
    }
}

extension ToolCallFormat {
    /// Texts that may not occur, or begin an answer, where there is to be no call.
    ///
    /// A regular expression for whole answers.
    public var bareCalls: String? {
        let space = "[ \\n\\r\\t]*"
        switch family {
        case .llama3:
            return space + "\\{" + space
                + "\"(type|id|name|tool_name|function|parameters|arguments)\"[\\s\\S]*"
        case .pythonic: return space + "\\[[ \\n\\r\\t,]*[\\w.+\\u0080-\\uffff-]+\\([\\s\\S]*"
        default: return nil
        }
    }

    /// All that calls may begin with, but for those without any marker.
    public var beginnings: [String] { (opening + starts).map { String(decoding: $0, as: UTF8.self) } }
}
