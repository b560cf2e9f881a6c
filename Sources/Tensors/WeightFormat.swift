/// How weights are stored when a model is loaded.
public enum WeightFormat: String, Sendable, CaseIterable {
    /// 8 bits, 32 inputs sharing a scale.
    case int8
    /// 4 bits, 32 inputs sharing a scale and a minimum; projections to the vocabulary have 8.
    case int4
}
