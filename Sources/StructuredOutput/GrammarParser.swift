/// Reads grammars in the spellings of llama.cpp (GBNF) and xgrammar (EBNF).
///
///     root ::= item ("," item)*      # a comment
///     item ::= [a-z]+ | "\"" [^"]{1,8} "\"" | .
///
/// A rule ends where the next `name ::=` begins.
struct GrammarParser {
    private var reader: PatternReader
    private var remainingDepth: Int
    private var rules = RuleSet()
    private var indices: [String: Int] = [:]
    private var defined: Set<Int> = []

    /// Errors: malformed text, rules named but not defined, look-ahead.
    static func parse(
        _ text: String, root: String, limits: GrammarLimits
    ) throws(StructuredOutputError) -> RuleSet {
        guard text.utf8.count <= limits.sourceBytes else {
            throw StructuredOutputError(
                .tooComplex, at: "grammar", expected: "at most \(limits.sourceBytes) bytes",
                found: "\(text.utf8.count)")
        }
        var parser = GrammarParser(
            reader: PatternReader(text, place: "grammar"), remainingDepth: limits.sourceDepth)
        return try parser.grammar(root: root)
    }

    private mutating func grammar(root: String) throws(StructuredOutputError) -> RuleSet {
        skipSpace()
        while reader.next != nil {
            guard let name = ruleHead() else { throw reader.failure("\"name ::=\"") }
            let index = rule(named: name)
            guard defined.insert(index).inserted else {
                throw reader.failure("each rule once", found: "\"\(name)\" again")
            }
            guard reader.next != nil, !isAtRuleHead else {
                throw reader.failure("a body of rule \"\(name)\"")
            }
            rules.rules[index].body = try choice()
        }
        for (index, rule) in rules.rules.enumerated() where !defined.contains(index) {
            throw StructuredOutputError(
                .invalid, at: "grammar", expected: "a rule for every name",
                found: "\"\(rule.name)\" without one")
        }
        guard let start = indices[root] else {
            throw StructuredOutputError(
                .invalid, at: "grammar", expected: "a rule named \"\(root)\"", found: "none")
        }
        rules.root = start
        return rules
    }

    private mutating func rule(named name: String) -> Int {
        if let known = indices[name] { return known }
        let index = rules.reserve(name)
        indices[name] = index
        return index
    }

    private mutating func skipSpace() {
        while let scalar = reader.next {
            if scalar == "#" {
                while let scalar = reader.next, scalar != "\n" { reader.position += 1 }
            } else if ScalarSet.space.contains(scalar.value) {
                reader.position += 1
            } else {
                return
            }
        }
    }

    private static let nameStart = ScalarSet([0x41...0x5A, 0x5F...0x5F, 0x61...0x7A])
    private static let nameRest = ScalarSet.word.union(ScalarSet("-."))

    private mutating func name() -> String? {
        guard let first = reader.next, Self.nameStart.contains(first.value) else { return nil }
        var name = String.UnicodeScalarView()
        while let scalar = reader.next, Self.nameRest.contains(scalar.value) {
            name.append(scalar)
            reader.position += 1
        }
        return String(name)
    }

    /// A name and `::=`; otherwise nothing is read.
    private mutating func ruleHead() -> String? {
        let start = reader.position
        if let name = name() {
            skipSpace()
            if reader.take("::=") {
                skipSpace()
                return name
            }
        }
        reader.position = start
        return nil
    }

    private var isAtRuleHead: Bool {
        var copy = self
        return copy.ruleHead() != nil
    }

    private mutating func choice() throws(StructuredOutputError) -> Expression {
        guard remainingDepth > 0 else {
            throw reader.failure("groups nested less deeply", code: .tooComplex)
        }
        remainingDepth -= 1
        defer { remainingDepth += 1 }
        var options = [try sequence()]
        while reader.take("|") {
            skipSpace()
            options.append(try sequence())
        }
        return options.count == 1 ? options[0] : .choice(options)
    }

    private mutating func sequence() throws(StructuredOutputError) -> Expression {
        var parts: [Expression] = []
        while let scalar = reader.next, scalar != "|", scalar != ")" {
            if Self.nameStart.contains(scalar.value), isAtRuleHead { break }
            let atom = try atom(scalar)
            skipSpace()
            parts.append(try quantified(atom))
        }
        return parts.count == 1 ? parts[0] : .sequence(parts)
    }

    private mutating func atom(_ scalar: Unicode.Scalar) throws(StructuredOutputError) -> Expression {
        if let name = name() { return .rule(rule(named: name)) }
        reader.position += 1
        switch scalar {
        case "\"", "'": return .text(try literal(until: scalar))
        case "[": return .scalars(try reader.characterClass())
        case ".": return .scalars(.all)
        case "(":
            skipSpace()
            if reader.next == "=" {
                throw reader.failure("no look-ahead", found: "(=", code: .unsupported)
            }
            let body = try choice()
            guard reader.take(")") else { throw reader.failure("\")\"") }
            return .sequence([body])
        default:
            reader.position -= 1
            throw reader.failure("a literal, a class, a rule's name or a group")
        }
    }

    private mutating func literal(until quote: Unicode.Scalar) throws(StructuredOutputError) -> String {
        var text = String.UnicodeScalarView()
        while let scalar = reader.next {
            reader.position += 1
            if scalar == quote { return String(text) }
            guard scalar == "\\" else {
                text.append(scalar)
                continue
            }
            guard case .scalar(let scalar) = try reader.escape(inClass: true) else {
                throw reader.failure("an escaped character")
            }
            text.append(scalar)
        }
        throw reader.failure("a closing \(quote)")
    }

    private mutating func quantified(_ atom: Expression) throws(StructuredOutputError) -> Expression {
        var body = atom
        while true {
            if reader.take("*") {
                body = .many(body)
            } else if reader.take("+") {
                body = .repetition(body, minimum: 1, maximum: nil)
            } else if reader.take("?") {
                body = .optional(body)
            } else if reader.take("{") {
                body = try counted(body)
            } else {
                return body
            }
            skipSpace()
        }
    }

    private mutating func counted(_ body: Expression) throws(StructuredOutputError) -> Expression {
        skipSpace()
        let minimum = try reader.number()
        skipSpace()
        let hasComma = reader.take(",")
        skipSpace()
        let maximum = hasComma ? try reader.number() : minimum
        skipSpace()
        guard minimum != nil || maximum != nil, reader.take("}") else { throw reader.failure("{n,m}") }
        guard minimum ?? 0 <= maximum ?? .max else {
            throw reader.failure("counts in order", found: "\(minimum ?? 0) to \(maximum ?? 0)")
        }
        return .repetition(body, minimum: minimum ?? 0, maximum: maximum)
    }
}
