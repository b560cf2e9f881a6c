/// What a constraint may cost. Excess is a named error.
public struct GrammarLimits: Sendable, Hashable {
    /// Bytes of a schema, a regular expression, a grammar or a list of choices.
    public var sourceBytes = 1 << 20
    /// How deeply groups of an expression, or subschemas, may nest.
    public var sourceDepth = 64
    /// Nodes and edges of the compiled network.
    public var networkSize = 200_000
    /// States of a string's or a number's automaton.
    public var automatonStates = 10_000
    /// Steps to build such an automaton, and transitions of all those of a schema.
    public var automatonWork = 400_000
    /// Steps to compute one mask, and to validate one document.
    public var work = 2_000_000
    /// Places of a grammar that a text may be in at once.
    public var places = 4096
    /// How far references of a schema may be followed for one value, and for a document.
    public var referenceDepth = 128
    public var evaluationDepth = 256
    /// How deeply rules may nest in a text. Deeper texts are not generated.
    public var nesting = 96
    /// Ways to satisfy `anyOf`, `allOf` and their like at one place, multiplied out.
    public var alternatives = 256
    /// Members of an `enum`, and choices.
    public var literals = 20_000
    /// States whose transitions are remembered at a time.
    public var cachedStates = 16384
    /// States whose mask of tokens is remembered at a time.
    public var cachedMasks = 128

    public init() {}
}
