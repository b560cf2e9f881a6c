/// How a model marks what it says to itself. Found from its chat template, or by a parser's name.
public struct ReasoningFormat: Sendable, Equatable {
    public let opening: String
    public let closing: String

    public init(opening: String, closing: String) { (self.opening, self.closing) = (opening, closing) }

    public static let think = ReasoningFormat(opening: "<think>", closing: "</think>")
    static let brackets = ReasoningFormat(opening: "[THINK]", closing: "[/THINK]")
    static let command = ReasoningFormat(opening: "<|START_THINKING|>", closing: "<|END_THINKING|>")
    static let seed = ReasoningFormat(opening: "<seed:think>", closing: "</seed:think>")
    static let granite = ReasoningFormat(
        opening: "Here is my thought process:", closing: "Here is my response:")

    /// The format that a chat template shows; nil when it shows none that is known.
    public init?(template: String) {
        let known = [Self.think, .command, .brackets, .seed, .granite].first {
            template.contains($0.closing)
        }
        guard let known else { return nil }
        self = known
    }

    /// The format that a reasoning parser of that name reads, in the spellings of vLLM and SGLang.
    public init?(named name: String) {
        switch name.lowercased().filter({ $0 != "-" && $0 != "." && $0 != "_" }) {
        case "think", "deepseekr1", "deepseekv3", "deepseekv31", "qwen3", "qwq", "qwen3thinking", "glm45",
            "minimaxm2", "olmo3", "ernie45", "kimik2", "step3", "hunyuana13b", "nemotron3":
            self = .think
        case "mistral", "magistral": self = .brackets
        case "granite": self = .granite
        case "commandr", "commandr7b", "commanda", "cohere", "coherecommand3": self = .command
        case "seedoss": self = .seed
        default: return nil
        }
    }

    /// Whether a prompt ends within reasoning, so that the answer goes on with it.
    public func isOpen(atEndOf prompt: String) -> Bool {
        var rest = Substring(prompt)
        while rest.last?.isWhitespace == true { rest.removeLast() }
        return rest.hasSuffix(opening)
    }
}
