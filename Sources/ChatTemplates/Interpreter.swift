import JSON
import OrderedCollections

/// Renders a template's statements, within limits on steps, depth and output.
struct Interpreter {
    struct Limits: Sendable {
        /// Expressions and statements evaluated; 256 bytes that one handles count as another.
        var steps = 2_000_000
        var depth = 600
        var outputBytes = 8 << 20
    }

    private enum Signal {
        case next, breakLoop, continueLoop
    }

    let limits: Limits
    private var steps = 0
    private var depth = 0
    private var outputBytes = 0
    var output = ""
    private var macroScopes: [Scope] = []

    init(limits: Limits) { self.limits = limits }

    mutating func render(
        _ statements: [Statement], _ variables: OrderedDictionary<JSONKey, JSONValue>
    ) throws(ChatTemplateError) -> String {
        let scope = Scope(parent: nil)
        for (name, value) in variables { scope[name.string] = Value(value) }
        defer { for scope in macroScopes { scope.clear() } }
        _ = try run(statements, scope)
        return output
    }

    /// Counts work, and `size` bytes of it.
    mutating func spend(_ size: Int = 0) throws(ChatTemplateError) {
        steps += 1 + size / 256
        guard steps <= limits.steps else { throw .limitReached("rendering takes too many steps") }
    }

    /// Counts the work it is to go through all of `value`, as comparing and printing do, and limits its depth.
    /// Lists may hold one list many times, so that this can be far more than the memory it takes.
    mutating func weigh(_ value: Value, depth: Int = 0) throws(ChatTemplateError) {
        guard depth <= 256 else { throw .limitReached("a value nests too deeply") }
        switch value {
        case .string(let text): try spend(text.utf8.count)
        case .list(let values):
            try spend(16 * values.count)
            for value in values where value.isComposite { try weigh(value, depth: depth + 1) }
        case .dictionary(let members):
            try spend(64 * members.count)
            for value in members.values where value.isComposite { try weigh(value, depth: depth + 1) }
        case .method(let value, _): try weigh(value, depth: depth + 1)
        default: break
        }
    }

    /// A namespace within a namespace could make a circle, or a chain too long to be freed.
    func refuseNamespaces(in value: Value) throws(ChatTemplateError) {
        switch value {
        case .namespace: throw .failed("a namespace cannot hold a namespace")
        case .list(let values):
            for value in values where value.isComposite { try refuseNamespaces(in: value) }
        case .dictionary(let members):
            for value in members.values where value.isComposite { try refuseNamespaces(in: value) }
        case .method(let value, _): try refuseNamespaces(in: value)
        default: break
        }
    }

    /// Python's `str` of `value`.
    mutating func text(of value: Value) throws(ChatTemplateError) -> String {
        try weigh(value)
        return value.text
    }

    /// Runs `body` one level deeper.
    mutating func nested<T>(
        _ body: (inout Interpreter) throws(ChatTemplateError) -> T
    ) throws(ChatTemplateError) -> T {
        depth += 1
        defer { depth -= 1 }
        guard depth <= limits.depth else { throw .limitReached("rendering nests too deeply") }
        return try body(&self)
    }

    private mutating func write(_ text: String) throws(ChatTemplateError) {
        outputBytes += text.utf8.count
        guard outputBytes <= limits.outputBytes else { throw .limitReached("the rendered text is too long") }
        try spend(text.utf8.count)
        output += text
    }

    private mutating func run(_ statements: [Statement], _ scope: Scope) throws(ChatTemplateError) -> Signal {
        try nested { (interpreter) throws(ChatTemplateError) in
            for statement in statements {
                try interpreter.spend()
                let signal = try interpreter.run(statement, scope)
                guard case .next = signal else { return signal }
            }
            return .next
        }
    }

    private mutating func run(_ statement: Statement, _ scope: Scope) throws(ChatTemplateError) -> Signal {
        switch statement {
        case .text(let text): try write(text)
        case .output(let expression): try write(try text(of: try evaluate(expression, scope)))
        case .conditional(let branches, let otherwise):
            for branch in branches where try evaluate(branch.condition, scope).isTrue {
                return try run(branch.body, scope)
            }
            return try run(otherwise, scope)
        case .loop(let loop): return try run(loop, scope)
        case .set(let target, let expression): try assign(try evaluate(expression, scope), to: target, scope)
        case .setBlock(let target, let filters, let body):
            try assign(try filtered(try captured(body, scope), filters, scope), to: target, scope)
        case .macro(let macro):
            scope[macro.name] = .macro(BoundMacro(macro, scope))
            macroScopes.append(scope)
        case .scope(let body): return try run(body, Scope(parent: scope))
        case .filterBlock(let filters, let body):
            try write(try filtered(try captured(body, scope), filters, scope).text)
        case .breakLoop: return .breakLoop
        case .continueLoop: return .continueLoop
        }
        return .next
    }

    /// What `body` writes, as a string.
    private mutating func captured(_ body: [Statement], _ scope: Scope) throws(ChatTemplateError) -> Value {
        let outer = output
        output = ""
        defer { output = outer }
        _ = try run(body, Scope(parent: scope))
        return .string(output)
    }

    private mutating func filtered(
        _ value: Value, _ filters: [(name: String, arguments: Arguments)], _ scope: Scope
    ) throws(ChatTemplateError) -> Value {
        var value = value
        for filter in filters {
            value = try apply(filter.name, to: value, try evaluate(filter.arguments, scope))
        }
        return value
    }

    private mutating func run(_ loop: Statement.Loop, _ scope: Scope) throws(ChatTemplateError) -> Signal {
        var items = try elements(of: try evaluate(loop.sequence, scope))
        if let condition = loop.condition {
            var kept: [Value] = []
            for item in items {
                let inner = Scope(parent: scope)
                try assign(item, to: loop.target, inner)
                if try evaluate(condition, inner).isTrue { kept.append(item) }
            }
            items = kept
        }
        guard !items.isEmpty else { return try run(loop.otherwise, Scope(parent: scope)) }
        for index in items.indices {
            let inner = Scope(parent: scope)
            inner["loop"] = loopState(index, items)
            try assign(items[index], to: loop.target, inner)
            if case .breakLoop = try run(loop.body, inner) { break }
        }
        return .next
    }

    /// The variable `loop`.
    private func loopState(_ index: Int, _ items: [Value]) -> Value {
        let count = items.count
        return .dictionary([
            "index": .integer(index + 1), "index0": .integer(index), "first": .bool(index == 0),
            "last": .bool(index == count - 1), "length": .integer(count), "revindex": .integer(count - index),
            "revindex0": .integer(count - index - 1), "depth": .integer(1), "depth0": .integer(0),
            "previtem": index > 0 ? items[index - 1] : .undefined("there is no previous item"),
            "nextitem": index + 1 < count ? items[index + 1] : .undefined("there is no next item"),
            "cycle": .method(.integer(index), "cycle"),
        ])
    }

    private mutating func assign(_ value: Value, to target: Target, _ scope: Scope) throws(ChatTemplateError)
    {
        // Values grow only through variables, so here is where they are kept from growing too deep.
        try weigh(value)
        switch target {
        case .name(let name): scope[name] = value
        case .member(let name, let member):
            guard case .namespace(let namespace)? = scope[name] else {
                throw .failed("cannot assign attribute on non-namespace object")
            }
            try refuseNamespaces(in: value)
            namespace.members[JSONKey(member)] = value
        case .tuple(let targets):
            let values = try elements(of: value)
            guard values.count == targets.count else {
                throw .failed(
                    values.count < targets.count
                        ? "ValueError: not enough values to unpack (expected \(targets.count), got \(values.count))"
                        : "ValueError: too many values to unpack (expected \(targets.count))")
            }
            for (target, value) in zip(targets, values) { try assign(value, to: target, scope) }
        }
    }

    /// What iterating over `value` gives.
    mutating func elements(of value: Value) throws(ChatTemplateError) -> [Value] {
        switch value {
        case .list(let values):
            try spend(values.count)
            return values
        case .dictionary(let members): return members.keys.map { .string($0.string) }
        case .string(let text):
            try spend(64 * text.utf8.count)
            return text.unicodeScalars.map { .string(String($0)) }
        case .undefined: return []
        default: throw .failed("TypeError: '\(value.typeName)' object is not iterable")
        }
    }

    /// Calls a macro: its body's output.
    mutating func call(_ bound: BoundMacro, _ arguments: EvaluatedArguments) throws(ChatTemplateError)
        -> Value
    {
        let (macro, scope) = (bound.macro, Scope(parent: bound.scope))
        guard arguments.positional.count <= macro.parameters.count else {
            throw .failed(
                "TypeError: macro '\(macro.name)' takes not more than \(macro.parameters.count) argument(s)")
        }
        var named = arguments.named
        for (index, parameter) in macro.parameters.enumerated() {
            if index < arguments.positional.count {
                scope[parameter.name] = arguments.positional[index]
            } else if let value = named.removeValue(forKey: parameter.name) {
                scope[parameter.name] = value
            } else if let standard = parameter.standard {
                scope[parameter.name] = try evaluate(standard, scope)
            } else {
                scope[parameter.name] = .undefined("parameter '\(parameter.name)' was not provided")
            }
        }
        if let stray = named.keys.first {
            throw .failed("TypeError: macro '\(macro.name)' takes no keyword argument '\(stray)'")
        }
        return try captured(macro.body, scope)
    }
}

/// Arguments of a call after evaluation.
struct EvaluatedArguments {
    var positional: [Value] = []
    var named: OrderedDictionary<String, Value> = [:]

    /// The argument at `index`, or the one called `name`.
    func value(_ index: Int, _ name: String) -> Value? {
        index < positional.count ? positional[index] : named[name]
    }
}
