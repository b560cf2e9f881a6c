/// An expression of a template.
indirect enum Expression: Sendable {
    case literal(Value)
    case name(String)
    case list([Expression])
    case dictionary([(key: Expression, value: Expression)])
    case attribute(Expression, String)
    case item(Expression, Expression)
    case slice(Expression, start: Expression?, end: Expression?, step: Expression?)
    case call(Expression, Arguments)
    case filter(Expression, String, Arguments)
    case test(Expression, String, [Expression], negated: Bool)
    case not(Expression)
    case negative(Expression)
    case positive(Expression)
    case binary(BinaryOperator, Expression, Expression)
    case and(Expression, Expression)
    case or(Expression, Expression)
    case comparison(Expression, [(symbol: ComparisonOperator, operand: Expression)])
    case conditional(Expression, condition: Expression, otherwise: Expression?)
}

struct Arguments: Sendable {
    var positional: [Expression] = []
    var named: [(name: String, value: Expression)] = []
}

enum BinaryOperator: String, Sendable {
    case add = "+"
    case subtract = "-"
    case multiply = "*"
    case divide = "/"
    case floorDivide = "//"
    case remainder = "%"
    case power = "**"
    case concatenate = "~"
}

enum ComparisonOperator: String, Sendable {
    case equal = "=="
    case notEqual = "!="
    case less = "<"
    case lessOrEqual = "<="
    case greater = ">"
    case greaterOrEqual = ">="
    case contained = "in"
    case notContained = "not in"
}

/// What an assignment or a loop assigns to.
indirect enum Target: Sendable {
    case name(String)
    /// A member of a namespace.
    case member(String, String)
    case tuple([Target])
}

/// A part of a template.
indirect enum Statement: Sendable {
    case text(String)
    case output(Expression)
    case conditional([(condition: Expression, body: [Statement])], otherwise: [Statement])
    case loop(Loop)
    case set(Target, Expression)
    case setBlock(Target, filters: [(name: String, arguments: Arguments)], body: [Statement])
    case macro(Macro)
    /// A body with a scope of its own.
    case scope([Statement])
    case filterBlock([(name: String, arguments: Arguments)], [Statement])
    case breakLoop
    case continueLoop

    struct Loop: Sendable {
        let target: Target
        let sequence: Expression
        let condition: Expression?
        let body: [Statement]
        let otherwise: [Statement]
    }

    final class Macro: Sendable {
        let name: String
        let parameters: [(name: String, standard: Expression?)]
        let body: [Statement]

        init(name: String, parameters: [(name: String, standard: Expression?)], body: [Statement]) {
            (self.name, self.parameters, self.body) = (name, parameters, body)
        }
    }
}
