/// How a model writes calls of tools. Found from its chat template, or by a parser's name.
public struct ToolCallFormat: Sendable, Equatable {
    public enum Family: String, Sendable, CaseIterable {
        /// `<tool_call>{"name": …, "arguments": {…}}</tool_call>`: Hermes, Qwen 2.5 and 3.
        case hermes
        /// `{"name": …, "parameters": {…}}` as the whole answer, or after `<|python_tag|>`: Llama 3.1 on.
        case llama3
        /// `[TOOL_CALLS][{"name": …, "arguments": {…}}]`.
        case mistral
        /// `[TOOL_CALLS]name[ARGS]{…}`: Mistral's tokenizers of version 11 on.
        case mistralNamed = "mistral_v11"
        /// `<｜tool▁call▁begin｜>function<｜tool▁sep｜>name`, then the arguments between fences.
        case deepSeek = "deepseek_v3"
        /// `<｜tool▁call▁begin｜>name<｜tool▁sep｜>{…}`.
        case deepSeekNamed = "deepseek_v31"
        /// `<|tool_call|>[{…}]<|/tool_call|>`: Phi 4 mini.
        case phi
        /// `functools[{…}]`: Phi 4 mini, by its card.
        case phiFunctools = "phi4_mini_json"
        /// `<|tool_call|>[{…}]`: Granite.
        case granite
        /// ``Action: ```json [{"tool_name": …, "parameters": {…}}] ```  ``: Command R.
        case commandR = "command_r"
        /// `<|START_ACTION|>[{"tool_call_id": …, "tool_name": …, "parameters": {…}}]<|END_ACTION|>`.
        case commandR7B = "command_r7b"
        /// `<tool_call><function=name><parameter=key>value</parameter></function></tool_call>`: Qwen 3 Coder,
        /// Nemotron 3.
        case qwen3Coder = "qwen3_coder"
        /// `<tool_call>name <arg_key>key</arg_key><arg_value>value</arg_value></tool_call>`: GLM 4.5.
        case glm = "glm45"
        /// `[name(key='value')]`, as the whole answer or between markers: Llama 3.2 and 4.
        case pythonic
        /// `<|tool_call_start|>[name(key='value')]<|tool_call_end|>`: LFM2.
        case lfm2
    }

    /// What stands between the markers.
    enum Syntax: Sendable, Equatable { case json, tagged(TagSyntax), python }

    public let family: Family
    let syntax: Syntax
    /// Markers that calls begin with.
    let opening: [[UInt8]]
    /// Markers that end them; without any, they end with the list or the object.
    let closing: [[UInt8]]
    /// Markers in between.
    let inner: [[UInt8]]
    /// What follows a name that stands before its arguments; empty when names stand within objects.
    let afterName: [[UInt8]]
    /// What a call itself begins with, so that it may stand without markers.
    let starts: [[UInt8]]
    /// The byte of an answer that may be a call without markers.
    let bareStart: UInt8?

    private init(
        _ family: Family, _ syntax: Syntax = .json, opening: [String], closing: [String] = [],
        inner: [String] = [], afterName: [String] = [], starts: [String] = [], bareStart: UInt8? = nil
    ) {
        func bytes(_ texts: [String]) -> [[UInt8]] { texts.map { Array($0.utf8) } }
        (self.family, self.syntax, self.bareStart) = (family, syntax, bareStart)
        (self.opening, self.closing, self.inner) = (bytes(opening), bytes(closing), bytes(inner))
        (self.afterName, self.starts) = (bytes(afterName), bytes(starts))
    }

    public init(_ family: Family) {
        self =
            switch family {
            case .hermes: Self(family, opening: ["<tool_call>"], closing: ["</tool_call>"])
            case .llama3:
                Self(family, opening: ["<|python_tag|>"], inner: [";"], bareStart: UInt8(ascii: "{"))
            case .mistral, .mistralNamed: Self(family, opening: ["[TOOL_CALLS]"], afterName: ["[ARGS]"])
            case .deepSeek, .deepSeekNamed:
                Self(
                    family, opening: ["<｜tool▁calls▁begin｜>", "<｜tool▁call▁begin｜>"],
                    closing: ["<｜tool▁calls▁end｜>"],
                    inner: ["<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>", "```json", "```"],
                    afterName: ["<｜tool▁sep｜>"])
            case .phi, .phiFunctools, .granite:
                Self(family, opening: ["<|tool_call|>", "functools"], closing: ["<|/tool_call|>"])
            case .commandR, .commandR7B:
                Self(
                    family,
                    opening: ["Action: ```json", "Action:```json", "Action:\n```json", "<|START_ACTION|>"],
                    closing: ["```", "<|END_ACTION|>"])
            case .qwen3Coder:
                Self(
                    family, .tagged(.functions), opening: ["<tool_call>"], closing: ["</tool_call>"],
                    starts: ["<function="])
            case .glm: Self(family, .tagged(.arguments), opening: ["<tool_call>"])
            case .pythonic:
                Self(
                    family, .python, opening: ["<|python_start|>", "<|python_tag|>"],
                    closing: ["<|python_end|>"], bareStart: UInt8(ascii: "["))
            case .lfm2:
                Self(
                    family, .python, opening: ["<|tool_call_start|>"], closing: ["<|tool_call_end|>"])
            }
    }

    /// Whether an object between the markers is a call; in tags it is, where its end is not the call's own.
    var takesObjects: Bool { syntax == .json || !starts.isEmpty }

    /// Whether a list between the markers is one of calls.
    var takesLists: Bool {
        if case .tagged = syntax { false } else { true }
    }

    /// All that it writes beside names and arguments. A tokenizer may have tokens of their own for these.
    public var markers: [String] {
        (opening + closing + inner + afterName).map { String(decoding: $0, as: UTF8.self) }
            + (family == .glm ? ["</tool_call>"] : [])
    }
}

extension ToolCallFormat {
    /// The format that a chat template shows; nil when it shows none that is known.
    public init?(template: String) {
        func has(_ text: String) -> Bool { template.contains(text) }
        if has("<function=") && has("<parameter=") {
            self.init(.qwen3Coder)
        } else if has("<arg_key>") {
            self.init(.glm)
        } else if has("[TOOL_CALLS]") {
            self.init(has("[ARGS]") ? .mistralNamed : .mistral)
        } else if has("<｜tool▁call▁begin｜>") {
            self.init(has("```json") ? .deepSeek : .deepSeekNamed)
        } else if has("<|tool_call_start|>") {
            self.init(.lfm2)
        } else if has("<tool_call>") {
            self.init(.hermes)
        } else if has("<|/tool_call|>") {
            self.init(.phi)
        } else if has("<|tool_call|>") {
            self.init(.granite)
        } else if has("functools") {
            self.init(.phiFunctools)
        } else if has("<|START_ACTION|>") {
            self.init(.commandR7B)
        } else if has("Action:") && has("tool_name") {
            self.init(.commandR)
        } else if has("<|python_start|>") || has("[func_name1(") {
            self.init(.pythonic)
        } else if has("<|python_tag|>") || has("\"parameters\": dictionary of argument name") {
            self.init(.llama3)
        } else {
            return nil
        }
    }

    /// The format that a tool-call parser of that name reads: those of vLLM, SGLang and LightLLM, and the
    /// families' own names. Dashes, points and case do not matter.
    public init?(named name: String) {
        let plain = name.lowercased().filter { $0 != "-" && $0 != "." && $0 != "_" }
        let known = Family.allCases.first { $0.rawValue.filter { $0 != "_" } == plain } ?? Self.aliases[plain]
        guard let known else { return nil }
        self.init(known)
    }

    private static let aliases: [String: Family] = [
        "qwen": .hermes, "qwen25": .hermes, "qwen3": .hermes, "qwen3xml": .qwen3Coder,
        "nemotron3": .qwen3Coder, "llama3json": .llama3, "llama4json": .llama3, "llama31": .llama3,
        "llama32": .llama3, "llama4pythonic": .pythonic, "llama4": .pythonic, "mistralv3": .mistral,
        "deepseek": .deepSeek, "deepseekr1": .deepSeek, "deepseekv32": .deepSeekNamed,
        "phi4mini": .phiFunctools, "phi4": .phi, "functools": .phiFunctools, "granite3": .granite,
        "cohere": .commandR,
        "commandr+": .commandR, "commandrplus": .commandR, "commanda": .commandR7B, "cohere2": .commandR7B,
        "coherecommand3": .commandR7B, "glm": .glm, "glm4": .glm, "glm4moe": .glm, "glm46": .glm,
        "glm47": .glm,
    ]
}
