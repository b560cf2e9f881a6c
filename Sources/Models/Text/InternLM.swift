public import Layers

/// InternLM 1: LLaMA whose q, k, v and o have biases, which `Linear` finds in the checkpoint, and which names its
/// rotary embedding in a key of its own.
public enum InternLM: Architecture {
    public static let modelTypes = ["internlm"]

    public static func build(
        _ config: ExtendedConfig<InternLMExtras>, _ weights: Parameters
    ) throws -> some LanguageModel {
        var shared = config.shared
        if let rotary = config.rotary {
            shared.ropeTheta = rotary.base ?? shared.ropeTheta
            if rotary.type == "dynamic" {
                shared.ropeScaling = RopeScaling(type: "dynamic", factor: rotary.scalingFactor ?? 1)
            }
        }
        return try Llama.build(shared, weights)
    }

    public static func ignores(_ tensor: String, _ config: ExtendedConfig<InternLMExtras>) -> Bool {
        Llama.ignores(tensor, config.shared)
    }
}

public struct InternLMExtras: ConfigExtras {
    struct Rotary: Decodable, Sendable {
        var base: Float?
        var type: String?
        var scalingFactor: Float?
    }

    var rotary: Rotary?

    public func validate(_ shared: DecoderConfig) throws(ConfigError) {
        guard let type = rotary?.type, !["origin", "dynamic"].contains(type) else { return }
        throw .malformed("rotary.type must be origin or dynamic, found '\(type)'")
    }
}
