import JSON
import OrderedCollections

extension Interpreter {
    mutating func evaluate(_ expression: Expression, _ scope: Scope) throws(ChatTemplateError) -> Value {
        try nested { (interpreter) throws(ChatTemplateError) in
            try interpreter.spend()
            return try interpreter.value(of: expression, scope)
        }
    }

    private mutating func value(of expression: Expression, _ scope: Scope) throws(ChatTemplateError) -> Value
    {
        switch expression {
        case .literal(let value): return value
        case .name(let name):
            return scope[name] ?? (isFunction(name) ? .function(name) : .undefined("'\(name)' is undefined"))
        case .list(let items):
            var values: [Value] = []
            for item in items { values.append(try evaluate(item, scope)) }
            return .list(values)
        case .dictionary(let members): return try dictionary(members, scope)
        case .attribute(let object, let name): return try attribute(name, of: try evaluate(object, scope))
        case .item(let object, let index):
            return try item(try evaluate(index, scope), of: try evaluate(object, scope))
        case .slice(let object, let start, let end, let step):
            return try slice(
                try evaluate(object, scope), try bound(start, scope), try bound(end, scope),
                try bound(step, scope))
        case .call(let callee, let arguments):
            return try call(try evaluate(callee, scope), try evaluate(arguments, scope))
        case .filter(let value, let name, let arguments):
            return try apply(name, to: try evaluate(value, scope), try evaluate(arguments, scope))
        case .test(let value, let name, let operands, let negated):
            var values: [Value] = []
            for operand in operands { values.append(try evaluate(operand, scope)) }
            return .bool(try test(name, try evaluate(value, scope), values) != negated)
        default: return try operation(expression, scope)
        }
    }

    private mutating func operation(_ expression: Expression, _ scope: Scope) throws(ChatTemplateError)
        -> Value
    {
        switch expression {
        case .not(let value): return .bool(!(try evaluate(value, scope).isTrue))
        case .negative(let value): return try negated(try evaluate(value, scope))
        case .positive(let value): return try evaluate(value, scope)
        case .binary(let symbol, let left, let right):
            return try binary(symbol, try evaluate(left, scope), try evaluate(right, scope))
        case .and(let left, let right):
            let value = try evaluate(left, scope)
            return value.isTrue ? try evaluate(right, scope) : value
        case .or(let left, let right):
            let value = try evaluate(left, scope)
            return value.isTrue ? value : try evaluate(right, scope)
        case .comparison(let first, let rest): return try compare(first, rest, scope)
        case .conditional(let value, let condition, let otherwise):
            if try evaluate(condition, scope).isTrue { return try evaluate(value, scope) }
            return try otherwise.map { (other) throws(ChatTemplateError) in try evaluate(other, scope) }
                ?? .undefined("the inline if-expression evaluated to false and no else section was defined.")
        default: throw .failed("this expression is not supported")
        }
    }

    mutating func evaluate(_ arguments: Arguments, _ scope: Scope) throws(ChatTemplateError)
        -> EvaluatedArguments
    {
        var result = EvaluatedArguments()
        for argument in arguments.positional { result.positional.append(try evaluate(argument, scope)) }
        for argument in arguments.named { result.named[argument.name] = try evaluate(argument.value, scope) }
        return result
    }

    private mutating func dictionary(
        _ members: [(key: Expression, value: Expression)], _ scope: Scope
    ) throws(ChatTemplateError) -> Value {
        var result: Value.Members = [:]
        for (key, value) in members {
            guard case .string(let name) = try evaluate(key, scope) else {
                throw .failed("a dictionary's keys must be strings")
            }
            result[JSONKey(name)] = try evaluate(value, scope)
        }
        return .dictionary(result)
    }

    // MARK: Members

    /// `value.name`: a method first, as in Python, then a member.
    private func attribute(_ name: String, of value: Value) throws(ChatTemplateError) -> Value {
        if case .undefined(let message) = value { throw .failed("UndefinedError: \(message)") }
        if name.hasPrefix("_") {
            return .undefined("access to attribute '\(name)' of '\(value.typeName)' object is unsafe.")
        }
        if hasMethod(name, value) { return .method(value, name) }
        return member(name, of: value) ?? missing(.string(name), of: value)
    }

    private func member(_ name: String, of value: Value) -> Value? {
        switch value {
        case .dictionary(let members): members[JSONKey(name)]
        case .namespace(let namespace): namespace.members[JSONKey(name)]
        default: nil
        }
    }

    /// `value[index]`: an item first, then a method.
    mutating func item(_ index: Value, of value: Value) throws(ChatTemplateError) -> Value {
        if case .undefined(let message) = value { throw .failed("UndefinedError: \(message)") }
        if case .string(let name) = index {
            if let found = member(name, of: value) { return found }
            return !name.hasPrefix("_") && hasMethod(name, value)
                ? .method(value, name) : missing(index, of: value)
        }
        guard let position = index.integer else { return missing(index, of: value) }
        switch value {
        case .list(let values):
            let position = position < 0 ? position &+ values.count : position
            return values.indices.contains(position) ? values[position] : missing(index, of: value)
        case .string(let text):
            try spend(text.utf8.count)
            let scalars = Array(text.unicodeScalars)
            let position = position < 0 ? position &+ scalars.count : position
            return scalars.indices.contains(position)
                ? .string(String(scalars[position])) : missing(index, of: value)
        default: return missing(index, of: value)
        }
    }

    private func missing(_ name: Value, of value: Value) -> Value {
        var type = "\(value.typeName) object"
        if case .none = value { type = "None" }
        if case .string(let name) = name { return .undefined("'\(type)' has no attribute '\(name)'") }
        return .undefined("\(type) has no element \(name.representation)")
    }

    private mutating func bound(_ expression: Expression?, _ scope: Scope) throws(ChatTemplateError) -> Int? {
        guard let expression else { return nil }
        let value = try evaluate(expression, scope)
        if case .none = value { return nil }
        guard let bound = value.integer else {
            throw .failed("TypeError: slice indices must be integers or None or have an __index__ method")
        }
        return bound
    }

    private mutating func slice(_ value: Value, _ start: Int?, _ end: Int?, _ step: Int?)
        throws(ChatTemplateError) -> Value
    {
        switch value {
        case .list(let values): return .list(try sliced(values, start, end, step))
        case .string(let text):
            var scalars = String.UnicodeScalarView()
            scalars.append(contentsOf: try sliced(Array(text.unicodeScalars), start, end, step))
            return .string(String(scalars))
        case .undefined(let message): throw .failed("UndefinedError: \(message)")
        default: throw .failed("TypeError: '\(value.typeName)' object is not subscriptable")
        }
    }

    private mutating func sliced<T>(_ items: [T], _ start: Int?, _ end: Int?, _ step: Int?)
        throws(ChatTemplateError) -> [T]
    {
        let (count, step) = (items.count, step ?? 1)
        try spend(count)
        guard step != 0 else { throw .failed("ValueError: slice step cannot be zero") }
        func clamped(_ index: Int, _ lowest: Int, _ highest: Int) -> Int {
            min(max(index < 0 ? index + count : index, lowest), highest)
        }
        var result: [T] = []
        if step > 0 {
            var index = start.map { clamped($0, 0, count) } ?? 0
            let last = end.map { clamped($0, 0, count) } ?? count
            while index < last {
                result.append(items[index])
                index = index.addingReportingOverflow(step).overflow ? last : index + step
            }
        } else {
            var index = start.map { clamped($0, -1, count - 1) } ?? count - 1
            let last = end.map { clamped($0, -1, count - 1) } ?? -1
            while index > last {
                result.append(items[index])
                index = index.addingReportingOverflow(step).overflow ? last : index + step
            }
        }
        return result
    }

    // MARK: Operators

    private func negated(_ value: Value) throws(ChatTemplateError) -> Value {
        if let integer = value.integer {
            let (result, overflow) = 0.subtractingReportingOverflow(integer)
            if !overflow { return .integer(result) }
        }
        guard let number = value.number else {
            throw .failed("TypeError: bad operand type for unary -: '\(value.typeName)'")
        }
        return .float(-number)
    }

    private mutating func binary(_ symbol: BinaryOperator, _ a: Value, _ b: Value) throws(ChatTemplateError)
        -> Value
    {
        for value in [a, b] {
            if case .undefined(let message) = value, symbol != .concatenate {
                throw .failed("UndefinedError: \(message)")
            }
        }
        switch (symbol, a, b) {
        case (.concatenate, _, _):
            let text = try text(of: a) + text(of: b)
            try spend(text.utf8.count)
            return .string(text)
        case (.add, .string(let a), .string(let b)):
            try spend(a.utf8.count + b.utf8.count)
            return .string(a + b)
        case (.add, .string, _):
            throw .failed("TypeError: can only concatenate str (not \"\(b.typeName)\") to str")
        case (.add, .list(let a), .list(let b)):
            try spend(64 * (a.count + b.count))
            return .list(a + b)
        case (.add, .list, _):
            throw .failed("TypeError: can only concatenate list (not \"\(b.typeName)\") to list")
        case (.multiply, .string(let text), .integer(let count)),
            (.multiply, .integer(let count), .string(let text)):
            try reserve(text.utf8.count, times: count)
            return .string(String(repeating: text, count: max(count, 0)))
        case (.multiply, .list(let values), .integer(let count)):
            try reserve(64 * values.count, times: count)
            return .list(Array(repeatElement(values, count: max(count, 0)).joined()))
        default: return try arithmetic(symbol, a, b)
        }
    }

    mutating func reserve(_ size: Int, times count: Int) throws(ChatTemplateError) {
        let (total, overflow) = size.multipliedReportingOverflow(by: max(count, 0))
        guard !overflow, total <= limits.outputBytes else { throw .limitReached("a value grows too large") }
        try spend(total)
    }

    private func arithmetic(_ symbol: BinaryOperator, _ a: Value, _ b: Value) throws(ChatTemplateError)
        -> Value
    {
        if let a = a.integer, let b = b.integer, symbol != .divide {
            return try integerArithmetic(symbol, a, b)
        }
        guard let x = a.number, let y = b.number else {
            throw .failed(
                "TypeError: unsupported operand type(s) for \(symbol.rawValue): '\(a.typeName)' and '\(b.typeName)'"
            )
        }
        switch symbol {
        case .add: return .float(x + y)
        case .subtract: return .float(x - y)
        case .multiply: return .float(x * y)
        case .power: return .float(power(x, y))
        default:
            guard y != 0 else { throw .failed("ZeroDivisionError: division by zero") }
            switch symbol {
            case .divide: return .float(x / y)
            case .floorDivide: return .float((x / y).rounded(.down))
            default: return .float(x - (x / y).rounded(.down) * y)
            }
        }
    }

    private func integerArithmetic(_ symbol: BinaryOperator, _ a: Int, _ b: Int) throws(ChatTemplateError)
        -> Value
    {
        let result: (partialValue: Int, overflow: Bool)
        switch symbol {
        case .add: result = a.addingReportingOverflow(b)
        case .subtract: result = a.subtractingReportingOverflow(b)
        case .multiply: result = a.multipliedReportingOverflow(by: b)
        case .power:
            let value = power(Double(a), Double(b))
            guard b >= 0, abs(value) < 0x1p53 else { return .float(value) }
            result = (Int(value), false)
        default:
            guard b != 0 else { throw .failed("ZeroDivisionError: integer division or modulo by zero") }
            let quotient = a.dividedReportingOverflow(by: b)
            guard !quotient.overflow else { throw .failed("OverflowError: integer too large") }
            let remainder = a % b
            let roundsDown = remainder != 0 && (remainder < 0) != (b < 0)
            return .integer(
                symbol == .floorDivide
                    ? quotient.partialValue - (roundsDown ? 1 : 0) : remainder + (roundsDown ? b : 0))
        }
        guard !result.overflow else { throw .failed("OverflowError: integer too large") }
        return .integer(result.partialValue)
    }

    private mutating func compare(
        _ first: Expression, _ rest: [(symbol: ComparisonOperator, operand: Expression)], _ scope: Scope
    ) throws(ChatTemplateError) -> Value {
        var left = try evaluate(first, scope)
        for (symbol, operand) in rest {
            let right = try evaluate(operand, scope)
            guard try holds(symbol, left, right) else { return .bool(false) }
            left = right
        }
        return .bool(true)
    }

    private mutating func holds(_ symbol: ComparisonOperator, _ a: Value, _ b: Value)
        throws(ChatTemplateError) -> Bool
    {
        try weigh(a)
        try weigh(b)
        switch symbol {
        case .equal: return a.equals(b)
        case .notEqual: return !a.equals(b)
        case .contained: return try contains(b, a)
        case .notContained: return !(try contains(b, a))
        case .less: return try precedes(a, b, symbol)
        case .greater: return try precedes(b, a, symbol)
        case .lessOrEqual: return a.equals(b) ? true : try precedes(a, b, symbol)
        case .greaterOrEqual: return a.equals(b) ? true : try precedes(b, a, symbol)
        }
    }

    private func precedes(_ a: Value, _ b: Value, _ symbol: ComparisonOperator) throws(ChatTemplateError)
        -> Bool
    {
        for case .undefined(let message) in [a, b] { throw .failed("UndefinedError: \(message)") }
        guard let result = a.precedes(b) else {
            throw .failed(
                "TypeError: '\(symbol.rawValue)' not supported between instances of '\(a.typeName)' and '\(b.typeName)'"
            )
        }
        return result
    }

    /// Whether `element in container`.
    mutating func contains(_ container: Value, _ element: Value) throws(ChatTemplateError) -> Bool {
        switch container {
        case .string(let text):
            guard case .string(let part) = element else {
                throw .failed(
                    "TypeError: 'in <string>' requires string as left operand, not \(element.typeName)")
            }
            try spend(text.utf8.count)
            return part.isEmpty || firstRange(of: Array(part.utf8), in: Array(text.utf8), from: 0) != nil
        case .list(let values):
            try spend(values.count)
            return values.contains { $0.equals(element) }
        case .dictionary(let members):
            guard case .string(let key) = element else { return false }
            return members[JSONKey(key)] != nil
        case .undefined: return false
        default: throw .failed("TypeError: argument of type '\(container.typeName)' is not iterable")
        }
    }
}

/// Where `part` first lies in `text` at or after `start`.
func firstRange(of part: [UInt8], in text: [UInt8], from start: Int) -> Range<Int>? {
    guard let first = part.first, text.count >= part.count else { return nil }
    var index = start
    while index + part.count <= text.count {
        if text[index] == first, text[index..<index + part.count].elementsEqual(part) {
            return index..<index + part.count
        }
        index += 1
    }
    return nil
}
