/// Reads regular expressions: the part that JavaScript and Python agree on and that automata can decide.
///
/// `.` is any character but the ends of lines; `\d`, `\w` are ASCII; quantifiers may be lazy, which changes
/// nothing about what matches. Refused by name: look-around, back-references, word boundaries, flags, atomic
/// groups.
struct RegexParser {
    private var reader: PatternReader
    private var remainingDepth: Int

    /// The texts that the whole of `pattern` matches, with anchors left in.
    static func parse(
        _ pattern: String, limits: GrammarLimits, place: String
    ) throws(StructuredOutputError) -> Expression {
        guard pattern.utf8.count <= limits.sourceBytes else {
            throw StructuredOutputError(
                .tooComplex, at: place, expected: "at most \(limits.sourceBytes) bytes",
                found: "\(pattern.utf8.count)")
        }
        var parser = RegexParser(
            reader: PatternReader(pattern, place: place), remainingDepth: limits.sourceDepth)
        let expression = try parser.choice()
        guard parser.reader.next == nil else { throw parser.reader.failure("the end") }
        return expression
    }

    private mutating func choice() throws(StructuredOutputError) -> Expression {
        guard remainingDepth > 0 else {
            throw reader.failure("groups nested less deeply", code: .tooComplex)
        }
        remainingDepth -= 1
        defer { remainingDepth += 1 }
        var options = [try sequence()]
        while reader.take("|") { options.append(try sequence()) }
        return options.count == 1 ? options[0] : .choice(options)
    }

    private mutating func sequence() throws(StructuredOutputError) -> Expression {
        var parts: [Expression] = []
        while let scalar = reader.next, scalar != "|", scalar != ")" {
            parts.append(try quantified(try atom()))
        }
        return parts.count == 1 ? parts[0] : .sequence(parts)
    }

    private mutating func atom() throws(StructuredOutputError) -> Expression {
        guard let scalar = reader.next else { throw reader.failure("an expression") }
        reader.position += 1
        switch scalar {
        case "^": return .start
        case "$": return .end
        case ".": return .scalars(ScalarSet.lineEnds.inverted)
        case "[": return .scalars(try reader.characterClass())
        case "(": return try group()
        case "\\":
            switch try reader.escape(inClass: false) {
            case .scalar(let scalar): return .text(String(scalar))
            case .set(let set): return .scalars(set)
            case .start: return .start
            case .end: return .end
            }
        case "*", "+", "?":
            reader.position -= 1
            throw reader.failure("something to repeat")
        default: return .text(String(scalar))
        }
    }

    private mutating func group() throws(StructuredOutputError) -> Expression {
        if reader.take("?") { try groupKind() }
        let body = try choice()
        guard reader.take(")") else { throw reader.failure("\")\"") }
        // A group of its own, so that a quantifier after it repeats all of it.
        return .sequence([body])
    }

    private mutating func groupKind() throws(StructuredOutputError) {
        if reader.take(":") { return }
        for mark in ["=", "!", "<=", "<!"] where reader.take(mark) {
            throw reader.failure("no look-around", found: "(?\(mark)", code: .unsupported)
        }
        if reader.take("P<") || reader.take("<") {
            while let letter = reader.next, letter != ">" { reader.position += 1 }
            guard reader.take(">") else { throw reader.failure("\">\"") }
            return
        }
        throw reader.failure("a plain, named or (?:…) group", code: .unsupported)
    }

    private mutating func quantified(_ body: Expression) throws(StructuredOutputError) -> Expression {
        guard let bounds = try bounds() else { return body }
        switch body {
        case .start, .end: throw reader.failure("something to repeat", found: "an anchor")
        default: break
        }
        if reader.next == "+" { throw reader.failure("no possessive quantifier", code: .unsupported) }
        _ = reader.take("?")
        if try self.bounds() != nil { throw reader.failure("something to repeat", found: "a quantifier") }
        return .repetition(body, minimum: bounds.minimum, maximum: bounds.maximum)
    }

    private mutating func bounds() throws(StructuredOutputError) -> (minimum: Int, maximum: Int?)? {
        if reader.take("*") { return (0, nil) }
        if reader.take("+") { return (1, nil) }
        if reader.take("?") { return (0, 1) }
        let start = reader.position
        guard reader.take("{") else { return nil }
        let minimum = try reader.number()
        let hasComma = minimum != nil && reader.take(",")
        let maximum = hasComma ? try reader.number() : minimum
        guard let minimum, reader.take("}") else {
            // A brace that begins no quantifier stands for itself.
            reader.position = start
            return nil
        }
        guard minimum <= maximum ?? minimum else {
            throw reader.failure("counts in order", found: "{\(minimum),\(maximum ?? minimum)}")
        }
        return (minimum, maximum)
    }
}

extension Expression {
    /// Whether an anchor stands anywhere in it.
    var hasAnchors: Bool {
        switch self {
        case .start, .end: true
        case .sequence(let parts), .choice(let parts): parts.contains(where: \.hasAnchors)
        case .repetition(let body, _, _): body.hasAnchors
        default: false
        }
    }

    /// Without the anchors at its two ends, and whether they were there.
    private var unanchored: (body: Expression, start: Bool, end: Bool) {
        var parts = if case .sequence(let parts) = self { parts } else { [self] }
        var (start, end) = (false, false)
        if case .start? = parts.first {
            start = true
            parts.removeFirst()
        }
        if case .end? = parts.last {
            end = true
            parts.removeLast()
        }
        return (parts.count == 1 ? parts[0] : .sequence(parts), start, end)
    }

    /// As an answer: the expression from end to end.
    func wholeText(limits: GrammarLimits, place: String) throws(StructuredOutputError) -> Expression {
        let body = unanchored.body
        guard body.hasAnchors else { return body }
        return .automaton(try Automaton(body, limits: limits, place: place), escaping: .none)
    }

    /// As a schema's `pattern`: the texts in which the expression occurs.
    func occurrences(limits: GrammarLimits, place: String) throws(StructuredOutputError) -> Automaton {
        let (body, start, end) = unanchored
        let anything = Expression.many(.scalars(.all))
        return try Automaton(
            .sequence([start ? .empty : anything, body, end ? .empty : anything]), limits: limits,
            place: place)
    }
}
