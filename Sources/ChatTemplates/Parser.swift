/// Builds the statements of a template from its tokens.
struct Parser {
    private let tokens: [LocatedToken]
    private var index = 0
    private var depth = 0

    /// Brackets, blocks and operators nested deeper than this are refused.
    private static let deepest = 200

    init(_ tokens: [LocatedToken]) { self.tokens = tokens }

    static func statements(_ source: String) throws(ChatTemplateError) -> [Statement] {
        var parser = Parser(try Lexer.tokens(source))
        let statements = try parser.body(until: [])
        guard parser.current == nil else { throw parser.error("unexpected block") }
        return statements
    }

    var current: Token? { index < tokens.count ? tokens[index].token : nil }

    var following: Token? { index + 1 < tokens.count ? tokens[index + 1].token : nil }

    func error(_ reason: String) -> ChatTemplateError {
        .syntax(line: (index < tokens.count ? tokens[index] : tokens.last)?.line ?? 1, reason)
    }

    mutating func advance() { index += 1 }

    /// Runs `body` one level deeper.
    mutating func nested<T>(
        _ body: (inout Parser) throws(ChatTemplateError) -> T
    ) throws(ChatTemplateError) -> T {
        depth += 1
        defer { depth -= 1 }
        guard depth < Self.deepest else { throw error("nested too deeply") }
        return try body(&self)
    }

    mutating func accept(_ symbol: String) -> Bool {
        guard current == .symbol(symbol) else { return false }
        advance()
        return true
    }

    mutating func accept(name: String) -> Bool {
        guard current == .name(name) else { return false }
        advance()
        return true
    }

    mutating func expect(_ token: Token, _ what: String) throws(ChatTemplateError) {
        guard current == token else { throw error("expected \(what)") }
        advance()
    }

    mutating func identifier() throws(ChatTemplateError) -> String {
        guard case .name(let name)? = current else { throw error("expected a name") }
        advance()
        return name
    }

    /// The name of the block that begins here, without consuming it.
    private var blockName: String? {
        guard current == .beginBlock, index + 1 < tokens.count, case .name(let name) = tokens[index + 1].token
        else {
            return nil
        }
        return name
    }

    /// Statements up to a block of one of these names, which stays.
    private mutating func body(until ends: Set<String>) throws(ChatTemplateError) -> [Statement] {
        try nested { (parser) throws(ChatTemplateError) in
            var statements: [Statement] = []
            while let token = parser.current {
                switch token {
                case .text(let text):
                    statements.append(.text(text))
                    parser.advance()
                case .beginOutput:
                    parser.advance()
                    statements.append(.output(try parser.tupleOrExpression()))
                    try parser.expect(.endOutput, "'}}'")
                default:
                    if let name = parser.blockName, ends.contains(name) { return statements }
                    if let statement = try parser.block() { statements.append(statement) }
                }
            }
            guard ends.isEmpty else {
                throw parser.error("expected \(ends.sorted().joined(separator: " or "))")
            }
            return statements
        }
    }

    private mutating func block() throws(ChatTemplateError) -> Statement? {
        try expect(.beginBlock, "a block")
        let name = try identifier()
        switch name {
        case "if": return try conditional()
        case "for": return try loop()
        case "set": return try assignment()
        case "macro": return try macro()
        case "generation":
            try endOfBlock()
            return .scope(try closedBody("endgeneration"))
        case "filter":
            let filters = try filterChain()
            try endOfBlock()
            return .filterBlock(filters, try closedBody("endfilter"))
        case "break", "continue":
            try endOfBlock()
            return name == "break" ? .breakLoop : .continueLoop
        default: throw error("the block '\(name)' is not supported")
        }
    }

    private mutating func endOfBlock() throws(ChatTemplateError) { try expect(.endBlock, "'%}'") }

    /// The body up to the block `end`, which is consumed.
    private mutating func closedBody(_ end: String) throws(ChatTemplateError) -> [Statement] {
        let statements = try body(until: [end])
        try openEnd(end)
        try endOfBlock()
        return statements
    }

    private mutating func openEnd(_ name: String) throws(ChatTemplateError) {
        try expect(.beginBlock, name)
        try expect(.name(name), name)
    }

    private mutating func conditional() throws(ChatTemplateError) -> Statement {
        var branches: [(condition: Expression, body: [Statement])] = []
        var otherwise: [Statement] = []
        var condition: Expression? = try tupleOrExpression()
        while true {
            try endOfBlock()
            let statements = try body(until: ["elif", "else", "endif"])
            if let condition { branches.append((condition, statements)) } else { otherwise = statements }
            try expect(.beginBlock, "endif")
            switch try identifier() {
            case "elif" where condition != nil: condition = try tupleOrExpression()
            case "else" where condition != nil: condition = nil
            case "endif":
                try endOfBlock()
                return .conditional(branches, otherwise: otherwise)
            default: throw error("expected endif")
            }
        }
    }

    private mutating func loop() throws(ChatTemplateError) -> Statement {
        let target = try target()
        guard accept(name: "in") else { throw error("expected 'in'") }
        // Without a conditional: "if" filters the items.
        let sequence = try disjunction()
        let condition = accept(name: "if") ? try expression() : nil
        if current == .name("recursive") { throw error("recursive loops are not supported") }
        try endOfBlock()
        let statements = try body(until: ["else", "endfor"])
        var otherwise: [Statement] = []
        try expect(.beginBlock, "endfor")
        if accept(name: "else") {
            try endOfBlock()
            otherwise = try body(until: ["endfor"])
            try expect(.beginBlock, "endfor")
        }
        try expect(.name("endfor"), "endfor")
        try endOfBlock()
        return .loop(
            Statement.Loop(
                target: target, sequence: sequence, condition: condition, body: statements,
                otherwise: otherwise))
    }

    private mutating func target() throws(ChatTemplateError) -> Target {
        var targets: [Target] = []
        var isTuple = false
        repeat {
            if accept("(") {
                targets.append(try nested { (parser) throws(ChatTemplateError) in try parser.target() })
                guard accept(")") else { throw error("expected ')'") }
                continue
            }
            guard case .name = current, current != .name("in") else { break }
            let name = try identifier()
            targets.append(accept(".") ? .member(name, try identifier()) : .name(name))
            isTuple = isTuple || current == .symbol(",")
        } while accept(",")
        guard let first = targets.first else { throw error("expected a name to assign to") }
        return isTuple ? .tuple(targets) : first
    }

    private mutating func assignment() throws(ChatTemplateError) -> Statement {
        let target = try target()
        if accept("=") {
            let value = try tupleOrExpression()
            try endOfBlock()
            return .set(target, value)
        }
        let filters = accept("|") ? try filterChain() : []
        try endOfBlock()
        return .setBlock(target, filters: filters, body: try closedBody("endset"))
    }

    private mutating func filterChain() throws(ChatTemplateError) -> [(name: String, arguments: Arguments)] {
        var filters: [(name: String, arguments: Arguments)] = []
        repeat {
            let name = try identifier()
            filters.append((name, accept("(") ? try arguments() : Arguments()))
        } while accept("|")
        return filters
    }

    private mutating func macro() throws(ChatTemplateError) -> Statement {
        let name = try identifier()
        guard accept("(") else { throw error("expected '('") }
        var parameters: [(name: String, standard: Expression?)] = []
        while !accept(")") {
            let parameter = try identifier()
            parameters.append((parameter, accept("=") ? try expression() : nil))
            guard accept(",") || current == .symbol(")") else { throw error("expected ',' or ')'") }
        }
        try endOfBlock()
        return .macro(Statement.Macro(name: name, parameters: parameters, body: try closedBody("endmacro")))
    }
}
