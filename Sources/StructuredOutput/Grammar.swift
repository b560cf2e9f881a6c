/// A set of allowed answers, read and ready to be compiled for a vocabulary.
public struct Grammar: Sendable {
    let rules: RuleSet
    let limits: GrammarLimits

    init(rules: RuleSet, limits: GrammarLimits) { (self.rules, self.limits) = (rules, limits) }

    init(_ name: String, _ expression: Expression, limits: GrammarLimits) {
        var rules = RuleSet()
        rules.root = rules.add(name, expression)
        self.init(rules: rules, limits: limits)
    }

    /// The texts that a regular expression matches from end to end.
    ///
    /// Errors: `invalid`, `unsupported` (look-around, back-references, …), `tooComplex`.
    public init(
        regex pattern: String, limits: GrammarLimits = GrammarLimits()
    ) throws(StructuredOutputError) {
        let parsed = try RegexParser.parse(pattern, limits: limits, place: "regex")
        self.init("regex", try parsed.wholeText(limits: limits, place: "regex"), limits: limits)
    }

    /// One of a list of texts.
    public init(
        choices: [String], limits: GrammarLimits = GrammarLimits()
    ) throws(StructuredOutputError) {
        guard !choices.isEmpty, !choices.contains("") else {
            throw StructuredOutputError(
                .invalid, at: "choice", expected: "texts that are not empty",
                found: choices.isEmpty ? "none" : "\"\"")
        }
        guard choices.count <= limits.literals else {
            throw StructuredOutputError(
                .tooComplex, at: "choice", expected: "at most \(limits.literals) texts",
                found: "\(choices.count)")
        }
        self.init("choice", .literals(choices.map { Array($0.utf8) }), limits: limits)
    }

    /// A grammar as text, in llama.cpp's or xgrammar's spelling; answers are texts of the rule `root`.
    ///
    /// Errors: `invalid` (also left recursion and missing rules, the former when compiled), `unsupported`,
    /// `tooComplex`.
    public init(
        grammar text: String, root: String = "root", limits: GrammarLimits = GrammarLimits()
    ) throws(StructuredOutputError) {
        self.init(rules: try GrammarParser.parse(text, root: root, limits: limits), limits: limits)
    }
}
