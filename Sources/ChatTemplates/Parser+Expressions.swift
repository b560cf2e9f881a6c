extension Parser {
    /// An expression, or several with commas between, which make a list.
    mutating func tupleOrExpression() throws(ChatTemplateError) -> Expression {
        let first = try expression()
        guard current == .symbol(",") else { return first }
        var items = [first]
        while accept(",") {
            if current == .endBlock || current == .endOutput || current == .symbol(")") { break }
            items.append(try expression())
        }
        return .list(items)
    }

    mutating func expression() throws(ChatTemplateError) -> Expression {
        try nested { (parser) throws(ChatTemplateError) in try parser.ternary() }
    }

    private mutating func ternary() throws(ChatTemplateError) -> Expression {
        var value = try disjunction()
        while accept(name: "if") {
            let condition = try disjunction()
            let otherwise = accept(name: "else") ? try expression() : nil
            value = .conditional(value, condition: condition, otherwise: otherwise)
        }
        return value
    }

    mutating func disjunction() throws(ChatTemplateError) -> Expression {
        var left = try conjunction()
        var length = 0
        while accept(name: "or") {
            left = .or(
                left, try operand(&length) { (parser) throws(ChatTemplateError) in try parser.conjunction() })
        }
        return left
    }

    private mutating func conjunction() throws(ChatTemplateError) -> Expression {
        var left = try negation()
        var length = 0
        while accept(name: "and") {
            left = .and(
                left, try operand(&length) { (parser) throws(ChatTemplateError) in try parser.negation() })
        }
        return left
    }

    private mutating func negation() throws(ChatTemplateError) -> Expression {
        guard accept(name: "not") else { return try comparison() }
        return .not(try nested { (parser) throws(ChatTemplateError) in try parser.negation() })
    }

    private mutating func comparison() throws(ChatTemplateError) -> Expression {
        let first = try sum()
        var rest: [(symbol: ComparisonOperator, operand: Expression)] = []
        while let next = comparisonOperator() { rest.append((next, try sum())) }
        return rest.isEmpty ? first : .comparison(first, rest)
    }

    private mutating func comparisonOperator() -> ComparisonOperator? {
        if case .symbol(let symbol)? = current, let found = ComparisonOperator(rawValue: symbol) {
            advance()
            return found
        }
        if accept(name: "in") { return .contained }
        guard current == .name("not"), following == .name("in") else { return nil }
        advance()
        advance()
        return .notContained
    }

    /// A chain of operators of one precedence, the left ones first.
    private mutating func chain(
        _ operators: Set<String>, _ operand: (inout Parser) throws(ChatTemplateError) -> Expression
    ) throws(ChatTemplateError) -> Expression {
        var (left, length) = (try operand(&self), 0)
        while case .symbol(let symbol)? = current, operators.contains(symbol),
            let found = BinaryOperator(rawValue: symbol)
        {
            advance()
            left = .binary(found, left, try self.operand(&length, operand))
        }
        return left
    }

    /// The next operand of a chain, which nests as deeply as it is long.
    private mutating func operand(
        _ length: inout Int, _ body: (inout Parser) throws(ChatTemplateError) -> Expression
    ) throws(ChatTemplateError) -> Expression {
        length += 1
        guard length < 300 else { throw error("nested too deeply") }
        return try body(&self)
    }

    private mutating func sum() throws(ChatTemplateError) -> Expression {
        try chain(["+", "-"]) { (parser) throws(ChatTemplateError) in try parser.concatenation() }
    }

    private mutating func concatenation() throws(ChatTemplateError) -> Expression {
        try chain(["~"]) { (parser) throws(ChatTemplateError) in try parser.product() }
    }

    private mutating func product() throws(ChatTemplateError) -> Expression {
        try chain(["*", "/", "//", "%"]) { (parser) throws(ChatTemplateError) in try parser.power() }
    }

    private mutating func power() throws(ChatTemplateError) -> Expression {
        try chain(["**"]) { (parser) throws(ChatTemplateError) in try parser.unary(filtered: true) }
    }

    private mutating func unary(filtered: Bool) throws(ChatTemplateError) -> Expression {
        try nested { (parser) throws(ChatTemplateError) in
            var value: Expression
            if parser.accept("-") {
                value = .negative(try parser.unary(filtered: false))
            } else if parser.accept("+") {
                value = .positive(try parser.unary(filtered: false))
            } else {
                value = try parser.primary()
            }
            value = try parser.postfix(value)
            return filtered ? try parser.filtersAndTests(value) : value
        }
    }

    private mutating func primary() throws(ChatTemplateError) -> Expression {
        guard let token = current else { throw error("expected an expression") }
        switch token {
        case .name(let name):
            advance()
            switch name {
            case "true", "True": return .literal(.bool(true))
            case "false", "False": return .literal(.bool(false))
            case "none", "None": return .literal(.none)
            default: return .name(name)
            }
        case .string(var text):
            advance()
            while case .string(let more)? = current {
                text += more
                advance()
            }
            return .literal(.string(text))
        case .integer(let value):
            advance()
            return .literal(.integer(value))
        case .float(let value):
            advance()
            return .literal(.float(value))
        case .symbol("("): return try parenthesized()
        case .symbol("["): return try list()
        case .symbol("{"): return try dictionary()
        default: throw error("expected an expression")
        }
    }

    private mutating func parenthesized() throws(ChatTemplateError) -> Expression {
        advance()
        if accept(")") { return .list([]) }
        let value = try tupleOrExpression()
        guard accept(")") else { throw error("expected ')'") }
        return value
    }

    private mutating func list() throws(ChatTemplateError) -> Expression {
        advance()
        var items: [Expression] = []
        while !accept("]") {
            items.append(try expression())
            guard accept(",") || current == .symbol("]") else { throw error("expected ',' or ']'") }
        }
        return .list(items)
    }

    private mutating func dictionary() throws(ChatTemplateError) -> Expression {
        advance()
        var members: [(key: Expression, value: Expression)] = []
        while !accept("}") {
            let key = try expression()
            guard accept(":") else { throw error("expected ':'") }
            members.append((key, try expression()))
            guard accept(",") || current == .symbol("}") else { throw error("expected ',' or '}'") }
        }
        return .dictionary(members)
    }

    private mutating func postfix(_ value: Expression) throws(ChatTemplateError) -> Expression {
        var (value, length) = (value, 0)
        while true {
            // A chain of postfixes nests as deeply as it is long.
            length += 1
            guard length < 100 else { throw error("nested too deeply") }
            if accept(".") {
                if case .integer(let index)? = current {
                    advance()
                    value = .item(value, .literal(.integer(index)))
                } else {
                    value = .attribute(value, try identifier())
                }
            } else if accept("[") {
                value = try subscripted(value)
            } else if accept("(") {
                value = .call(value, try arguments())
            } else {
                return value
            }
        }
    }

    private mutating func subscripted(_ value: Expression) throws(ChatTemplateError) -> Expression {
        var parts: [Expression?] = []
        var isSlice = false
        while !accept("]") {
            if accept(":") {
                isSlice = true
                parts.append(nil)
                continue
            }
            let part = try expression()
            if accept(":") {
                isSlice = true
                parts.append(part)
            } else if accept("]") {
                parts.append(part)
                break
            } else {
                throw error("expected ']'")
            }
        }
        guard isSlice else {
            guard parts.count == 1, let index = parts[0] else { throw error("expected an index") }
            return .item(value, index)
        }
        guard parts.count <= 3 else { throw error("a slice has three parts at most") }
        while parts.count < 3 { parts.append(nil) }
        return .slice(value, start: parts[0], end: parts[1], step: parts[2])
    }

    /// Arguments after an open parenthesis.
    mutating func arguments() throws(ChatTemplateError) -> Arguments {
        var arguments = Arguments()
        while !accept(")") {
            if current == .symbol("*") || current == .symbol("**") {
                throw error("arguments cannot be unpacked")
            }
            if case .name(let name)? = current, following == .symbol("=") {
                advance()
                advance()
                arguments.named.append((name, try expression()))
            } else {
                arguments.positional.append(try expression())
            }
            guard accept(",") || current == .symbol(")") else { throw error("expected ',' or ')'") }
        }
        return arguments
    }

    private mutating func filtersAndTests(_ value: Expression) throws(ChatTemplateError) -> Expression {
        var (value, length) = (value, 0)
        while true {
            length += 1
            guard length < 100 else { throw error("nested too deeply") }
            if accept("|") {
                let name = try identifier()
                value = .filter(value, name, accept("(") ? try arguments() : Arguments())
            } else if accept(name: "is") {
                value = try test(value)
            } else if accept("(") {
                value = .call(value, try arguments())
            } else {
                return value
            }
        }
    }

    private mutating func test(_ value: Expression) throws(ChatTemplateError) -> Expression {
        let negated = accept(name: "not")
        let name = try identifier()
        var operands: [Expression] = []
        if accept("(") {
            operands = try arguments().positional
        } else {
            switch current {
            case .name(let word)? where !["else", "or", "and", "is", "if", "in", "not"].contains(word):
                operands = [try postfix(try primary())]
            case .string?, .integer?, .float?, .symbol("[")?, .symbol("{")?:
                operands = [try postfix(try primary())]
            default: break
            }
        }
        return .test(value, name, operands, negated: negated)
    }
}
