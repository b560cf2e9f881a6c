/// A feed-forward nonlinearity, under the names that config.json uses.
public enum Activation: String, Sendable, Codable, CaseIterable {
    case silu
    case gelu
    case geluTanh = "gelu_pytorch_tanh"
    case relu
    case quickGelu = "quick_gelu"

    /// Accepts the aliases that checkpoints use for the same function.
    public init?(name: String) {
        switch name {
        case "silu", "swish": self = .silu
        case "gelu": self = .gelu
        case "gelu_new", "gelu_fast", "gelu_pytorch_tanh", "gelu_accurate": self = .geluTanh
        case "relu": self = .relu
        case "quick_gelu": self = .quickGelu
        default: return nil
        }
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let name = try container.decode(String.self)
        guard let known = Activation(name: name) else {
            throw DecodingError.dataCorruptedError(
                in: container, debugDescription: "unknown activation '\(name)'")
        }
        self = known
    }
}
