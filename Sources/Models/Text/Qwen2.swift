public import Layers

/// Qwen2 and Qwen2.5: LLaMA whose q, k and v have biases. `Linear` finds those in the checkpoint, so all
/// that differs is a sliding window that config.json may describe but not switch on.
public enum Qwen2: Architecture {
    public static let modelTypes = ["qwen2"]

    public static func build(_ config: Qwen2Config, _ weights: Parameters) throws -> some LanguageModel {
        try Llama.build(config.llama, weights)
    }

    public static func ignores(_ tensor: String, _ config: Qwen2Config) -> Bool {
        Llama.ignores(tensor, config.llama)
    }
}

public struct Qwen2Config: Decodable, Sendable, ValidatedConfig {
    let llama: LlamaConfig

    enum CodingKeys: String, CodingKey { case useSlidingWindow }

    public init(from decoder: any Decoder) throws {
        let usesWindow = try decoder.container(keyedBy: CodingKeys.self)
            .decodeIfPresent(Bool.self, forKey: .useSlidingWindow)
        var llama = try LlamaConfig(from: decoder)
        if usesWindow != true { llama.slidingWindow = nil }
        self.llama = llama
    }

    public func validate() throws(ConfigError) { try llama.validate() }
}
