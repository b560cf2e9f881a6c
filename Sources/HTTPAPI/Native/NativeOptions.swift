/// How LightLLM's own routes behave, as its launch flags and environment set it.
public struct NativeOptions: Sendable {
    /// Whether `/generate` and `/generate_stream` have the shapes of text-generation-inference.
    public var usesTGI = false
    /// Whether `/generate` reports the log probabilities of the prompt's tokens.
    public var scoresPrompts = false
    /// Whether special tokens are left out of texts, unless a request says itself.
    public var skipsSpecialTokens = true
    /// What the answers of one request have to do with each other.
    public var group = GroupMode.independent

    public init() {}
}
