/// What every front end is translated to: a text over bytes, with rules that may call each other.
indirect enum Expression: Sendable {
    /// Matches no text at all.
    case nothing
    case empty
    case literal([UInt8])
    /// Any one of the texts; beginnings that they share are walked once.
    case literals([[UInt8]])
    case scalars(ScalarSet)
    case sequence([Expression])
    case choice([Expression])
    /// `maximum` nil: without end.
    case repetition(Expression, minimum: Int, maximum: Int?)
    /// The rule of that index.
    case rule(Int)
    case automaton(Automaton, escaping: Escaping)
    /// Only at a text's start or end. Within automata alone: a network of rules has no such places.
    case start
    case end

    /// How the characters of an automaton's texts are written.
    enum Escaping: Sendable {
        case none
        /// As within a JSON string: quotes, backslashes and control characters in their shortest escape, and
        /// what the spelling does not write as it is.
        case json(JSONSpelling)
    }

    static func text(_ text: String) -> Expression { .literal(Array(text.utf8)) }

    static func optional(_ expression: Expression) -> Expression {
        .repetition(expression, minimum: 0, maximum: 1)
    }

    static func many(_ expression: Expression) -> Expression {
        .repetition(expression, minimum: 0, maximum: nil)
    }

    /// The same where rules below `shared` are numbered from `base` on, and the others from `first`.
    func renumbered(shared: Int, base: Int, first: Int) -> Expression {
        func renumbered(_ part: Expression) -> Expression {
            part.renumbered(shared: shared, base: base, first: first)
        }
        return switch self {
        case .sequence(let parts): .sequence(parts.map(renumbered))
        case .choice(let options): .choice(options.map(renumbered))
        case .repetition(let body, let minimum, let maximum):
            .repetition(renumbered(body), minimum: minimum, maximum: maximum)
        case .rule(let rule): .rule(rule < shared ? base + rule : first + rule - shared)
        case .nothing, .empty, .literal, .literals, .scalars, .automaton, .start, .end: self
        }
    }

    static func times(_ count: Int, _ expression: Expression) -> Expression {
        .repetition(expression, minimum: count, maximum: count)
    }
}

/// Rules by index, and the one that a text begins with.
struct RuleSet: Sendable {
    struct Rule: Sendable {
        let name: String
        var body: Expression
    }

    var rules: [Rule] = []
    var root = 0

    /// Makes room for a rule whose body comes later, so that it may call itself.
    mutating func reserve(_ name: String) -> Int {
        rules.append(Rule(name: name, body: .nothing))
        return rules.count - 1
    }

    mutating func add(_ name: String, _ body: Expression) -> Int {
        rules.append(Rule(name: name, body: body))
        return rules.count - 1
    }
}
