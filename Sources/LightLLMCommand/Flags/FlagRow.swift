/// What becomes of flags that the server's parser does not know: those of LightLLM which have no meaning here,
/// and those of other servers.
struct FlagRow: Sendable {
    /// Whose flag it is.
    enum Origin: String, Sendable, CaseIterable {
        case lightLLM = "LightLLM"
        case vLLM
        case sgLang = "SGLang"
        case tgi = "TGI"
        case llamaCpp = "llama.cpp"
    }

    /// What one value of a flag asks for.
    enum Choice: Sendable {
        /// What happens anyway, and why.
        case nothing(String)
        /// A flag of ours, perhaps with a value.
        case flag(String, String?)
    }

    /// What becomes of values that no choice names.
    enum Others: Sendable {
        case refused(String)
        case noted(String)
    }

    enum Meaning: Sendable {
        /// A flag of ours with the same values, but for those named here. Of several that set the same flag the one
        /// with the lowest rank has the say; those of the same rank may not contradict each other.
        case alias(String, rank: Int, renamed: [String: String])
        /// A flag of ours with a value.
        case sets(String, String)
        /// It does nothing, and why.
        case noted(String)
        /// It depends on the value.
        case choices([String: Choice], others: Others)
        /// A number of the cache's tokens, which parallel requests share evenly.
        case sharedContext
        /// How many requests share it.
        case parallel
        case refused(String)
    }

    /// Long ones without dashes, with `_`; short ones with their dash.
    let spellings: [(name: String, values: FlagValues)]
    let meaning: Meaning

    private init(_ meaning: Meaning, _ spellings: [(String, FlagValues)]) {
        (self.meaning, self.spellings) = (meaning, spellings.map { (name: $0.0, values: $0.1) })
    }

    static func alias(
        _ target: String, rank: Int = 0, takes values: FlagValues = .one, renamed: [String: String] = [:],
        _ spellings: String...
    ) -> FlagRow {
        FlagRow(.alias(target, rank: rank, renamed: renamed), spellings.map { ($0, values) })
    }

    static func sets(_ target: String, _ value: String, _ spellings: String...) -> FlagRow {
        FlagRow(.sets(target, value), spellings.map { ($0, .none) })
    }

    static func noted(
        _ reason: String, flags: [String] = [], values: [String] = [], lists: [String] = [],
        optional: [String] = []
    ) -> FlagRow {
        FlagRow(.noted(reason), spelled(flags, values, lists, optional))
    }

    static func refused(
        _ reason: String, flags: [String] = [], values: [String] = [], lists: [String] = []
    ) -> FlagRow {
        FlagRow(.refused(reason), spelled(flags, values, lists, []))
    }

    /// Values that ask for what happens anyway; others are refused.
    static func accepts(_ values: [String], because reason: String, otherwise: String, _ spellings: String...)
        -> FlagRow
    {
        let choices = Dictionary(uniqueKeysWithValues: values.map { ($0, Choice.nothing(reason)) })
        return FlagRow(.choices(choices, others: .refused(otherwise)), spellings.map { ($0, .one) })
    }

    static func choices(_ choices: [String: Choice], others: Others, _ spellings: String...) -> FlagRow {
        FlagRow(.choices(choices, others: others), spellings.map { ($0, .one) })
    }

    static func sharedContext(_ spellings: String...) -> FlagRow {
        FlagRow(.sharedContext, spellings.map { ($0, .one) })
    }

    static func parallel(_ spellings: String...) -> FlagRow {
        FlagRow(.parallel, spellings.map { ($0, .one) })
    }

    private static func spelled(
        _ flags: [String], _ values: [String], _ lists: [String], _ optional: [String]
    ) -> [(String, FlagValues)] {
        flags.map { ($0, .none) } + values.map { ($0, .one) } + lists.map { ($0, .several) }
            + optional.map { ($0, .optional) }
    }
}

/// One spelling of a flag, and what becomes of it.
struct FlagRule: Sendable {
    let name: String
    let origin: FlagRow.Origin
    let values: FlagValues
    let meaning: FlagRow.Meaning

    /// As people write it.
    var spelling: String { Self.spelling(name, of: origin) }

    /// LightLLM's long flags have `_`, everybody else's `-`.
    static func spelling(_ name: String, of origin: FlagRow.Origin) -> String {
        if name.hasPrefix("-") { return name }
        return "--" + (origin == .lightLLM ? name : name.replacing("_", with: "-"))
    }
}

/// All spellings of the tables.
enum FlagTable {
    static let sections: [(origin: FlagRow.Origin, rows: [FlagRow])] = [
        (.lightLLM, lightLLMFlags), (.vLLM, vLLMFlags), (.sgLang, sgLangFlags), (.tgi, tgiFlags),
        (.llamaCpp, llamaFlags),
    ]

    /// In the order of the tables.
    static let rules: [FlagRule] = sections.flatMap { section in
        section.rows.flatMap { row in
            row.spellings.map {
                FlagRule(name: $0.name, origin: section.origin, values: $0.values, meaning: row.meaning)
            }
        }
    }

    /// A spelling that several have means what the first of them means by it.
    static let byName = Dictionary(rules.map { ($0.name, $0) }) { first, _ in first }
}
