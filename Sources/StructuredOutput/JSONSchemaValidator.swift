public import JSON
import OrderedCollections

/// Tells whether finished documents satisfy a JSON schema (2020-12).
///
/// All keywords are understood but `$dynamicRef`; `format` is asserted unless `assertsFormats` is false, for
/// the formats that `docs/structured-output.md` lists.
public struct JSONSchemaValidator: Sendable {
    private let document: SchemaDocument
    private let patterns: SchemaPatterns

    /// Errors: `invalid` for what is no schema, `unsupported` for `$dynamicRef`, for references to other
    /// documents and for regular expressions outside the supported part, `tooComplex`.
    public init(
        _ schema: JSONValue, assertsFormats: Bool = true, limits: GrammarLimits = GrammarLimits()
    ) throws(StructuredOutputError) {
        let document = try SchemaDocument(schema, limits: limits)
        self.init(document, try SchemaPatterns(document, assertsFormats: assertsFormats))
    }

    init(_ document: SchemaDocument, _ patterns: SchemaPatterns) {
        (self.document, self.patterns) = (document, patterns)
    }

    /// Errors: `violated`, at the first keyword that the value does not satisfy; `tooComplex`.
    public func validate(_ value: JSONValue) throws(StructuredOutputError) {
        try validate(value, against: document.root)
    }

    func validate(_ value: JSONValue, against node: SchemaNode.Index) throws(StructuredOutputError) {
        var evaluation = SchemaEvaluation(document: document, patterns: patterns)
        _ = try evaluation.evaluate(node, value, at: "")
    }

    /// Whether the value satisfies a subschema.
    func accepts(_ value: JSONValue, _ node: SchemaNode.Index) throws(StructuredOutputError) -> Bool {
        do throws(StructuredOutputError) {
            try validate(value, against: node)
            return true
        } catch  where error.code == .violated {
            return false
        }
    }
}

/// The compiled regular expressions and formats of a schema.
struct SchemaPatterns: Sendable {
    private var patterns: [String: Automaton] = [:]
    private var formats: [String: Automaton] = [:]
    private var size = 0

    init(_ document: SchemaDocument, assertsFormats: Bool) throws(StructuredOutputError) {
        for node in document.nodes {
            if let pattern = node.pattern { try add(pattern, at: node.place + "/pattern", document.limits) }
            for pattern in node.patternProperties.keys {
                try add(pattern.string, at: node.place + "/patternProperties", document.limits)
            }
            if assertsFormats, let format = node.format, formats[format] == nil {
                formats[format] = try SchemaFormats.automaton(format, document.limits)
            }
        }
    }

    private mutating func add(
        _ pattern: String, at place: String, _ limits: GrammarLimits
    ) throws(StructuredOutputError) {
        guard patterns[pattern] == nil else { return }
        let parsed = try RegexParser.parse(pattern, limits: limits, place: place)
        let automaton = try parsed.occurrences(limits: limits, place: place)
        size += automaton.size
        guard size <= limits.automatonWork else {
            throw StructuredOutputError(
                .tooComplex, at: place, expected: "patterns of at most \(limits.automatonWork) transitions",
                found: "more")
        }
        patterns[pattern] = automaton
    }

    /// Of a pattern of the document, which has been added.
    func pattern(_ pattern: String) -> Automaton? { patterns[pattern] }

    /// Nil when the format is unknown or not asserted.
    func format(_ name: String) -> Automaton? { formats[name] }

    func occurs(_ pattern: String, in text: String) -> Bool {
        patterns[pattern]?.matches(text.utf8) ?? false
    }
}
