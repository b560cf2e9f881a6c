import JSON

/// The decimal numbers between two bounds that are multiples of a unit, as an automaton.
///
/// Numbers have at most 15 digits (integers 18), so that a reader's doubles lie on the same side of a bound
/// as the digits do; and no exponent.
struct NumberLanguage {
    let isInteger: Bool
    let limits: GrammarLimits
    let place: String

    private var digits: Int { isInteger ? 18 : 15 }

    /// Errors: `unsupported` for bounds or units with more digits than are generated.
    func automaton(
        minimum: SchemaNode.Bound?, maximum: SchemaNode.Bound?, multiples: [Decimal]
    ) throws(StructuredOutputError) -> Automaton {
        var result = try Automaton(syntax, limits: limits, place: place)
        for (bound, isLower) in [(minimum, true), (maximum, false)] {
            guard let bound, let expression = try side(bound, isLower: isLower) else { continue }
            result = try result.intersection(
                Automaton(expression, limits: limits, place: place), limits: limits, place: place)
        }
        for unit in multiples {
            result = try result.intersection(self.multiples(of: unit), limits: limits, place: place)
        }
        return result
    }

    private static let digit = Expression.scalars(.digits)

    private var syntax: Expression {
        let whole = Expression.choice([
            .text("0"),
            .sequence([
                .scalars(ScalarSet([0x31...0x39])), .repetition(Self.digit, minimum: 0, maximum: digits - 1),
            ]),
        ])
        let fraction = Expression.optional(
            .sequence([.text("."), .repetition(Self.digit, minimum: 1, maximum: digits)]))
        return .sequence([.optional(.text("-")), whole, isInteger ? .empty : fraction])
    }

    /// All digits and points, for what `syntax` narrows.
    private static let anything = Expression.many(.scalars(ScalarSet("0123456789.")))

    /// Nil when every number that is generated is on the right side.
    private func side(_ bound: SchemaNode.Bound, isLower: Bool) throws(StructuredOutputError) -> Expression? {
        let value = bound.value
        let isNegative = value.significand < 0
        guard let magnitude = magnitude(of: value) else {
            if isLower == isNegative { return nil }
            throw StructuredOutputError(
                .unsupported, at: place, expected: "bounds of at most \(digits) digits",
                found: "\(value.double)")
        }
        let minus = Expression.text("-")
        // A lower bound below zero is an upper bound of what follows the sign, and so on.
        if isNegative {
            let rest =
                isLower
                ? atMost(magnitude, bound.isExclusive) : atLeast(magnitude, bound.isExclusive)
            return isLower
                ? .choice([.sequence([minus, rest]), Self.anything]) : .sequence([minus, rest])
        }
        if isLower { return atLeast(magnitude, bound.isExclusive) }
        if value.significand == 0, bound.isExclusive {
            return .sequence([minus, atLeast(magnitude, true)])
        }
        return .choice([.sequence([minus, Self.anything]), atMost(magnitude, bound.isExclusive)])
    }

    private struct Magnitude {
        let whole: Int
        /// Digits after the point, without trailing zeros.
        let fraction: [UInt8]
    }

    /// Nil when it has more digits than are generated.
    private func magnitude(of value: Decimal) -> Magnitude? {
        var text = Array(String(value.significand.magnitude).utf8)
        if value.exponent >= 0 {
            guard text.count + value.exponent <= digits || value.significand == 0 else { return nil }
            text += [UInt8](repeating: 0x30, count: value.exponent)
            return Int(String(decoding: text, as: UTF8.self)).map { Magnitude(whole: $0, fraction: []) }
        }
        let places = -value.exponent
        guard places <= digits, text.count <= digits else { return nil }
        if text.count <= places { text = [UInt8](repeating: 0x30, count: places + 1 - text.count) + text }
        let whole = Int(String(decoding: text.dropLast(places), as: UTF8.self))
        return whole.map { Magnitude(whole: $0, fraction: Array(text.suffix(places))) }
    }

    private var largest: Int { (0..<digits).reduce(1) { power, _ in power * 10 } - 1 }

    /// A point and digits, or neither; as many as leave a number exact whose whole part is about `whole`.
    private func fraction(beside whole: Int) -> Int { isInteger ? 0 : max(15 - String(whole).count, 0) }

    private func point(_ digits: Expression) -> Expression { .sequence([.text("."), digits]) }

    private func some(_ count: Int) -> Expression { .repetition(Self.digit, minimum: 0, maximum: count) }

    private func atLeast(_ bound: Magnitude, _ isExclusive: Bool) -> Expression {
        let more = Expression.sequence([
            Self.range(bound.whole + 1, largest), .optional(point(some(15))),
        ])
        let places = fraction(beside: bound.whole)
        let digits = above(bound.fraction[...], isExclusive, places)
        let isZeroEnough = bound.fraction.isEmpty && !isExclusive
        let same = Expression.sequence([
            .text(String(bound.whole)), .choice([point(digits)] + (isZeroEnough ? [.empty] : [])),
        ])
        return .choice([more, same])
    }

    private func atMost(_ bound: Magnitude, _ isExclusive: Bool) -> Expression {
        let places = fraction(beside: bound.whole)
        let less = Expression.sequence([Self.range(0, bound.whole - 1), .optional(point(some(places)))])
        let isZeroAllowed = !(bound.fraction.isEmpty && isExclusive)
        let same = Expression.sequence([
            .text(String(bound.whole)),
            .choice(
                [point(below(bound.fraction[...], isExclusive, places))] + (isZeroAllowed ? [.empty] : [])),
        ])
        return .choice([less, same])
    }

    /// Digits after the point that are at least `bound`, up to `places` of them.
    private func above(_ bound: ArraySlice<UInt8>, _ isExclusive: Bool, _ places: Int) -> Expression {
        guard let first = bound.first else {
            guard isExclusive else { return some(places) }
            guard places > 0 else { return .nothing }
            return .choice([
                .sequence([Self.digits(0x31, 0x39), some(places - 1)]),
                .sequence([.text("0"), above(bound, isExclusive, places - 1)]),
            ])
        }
        guard places > 0 else { return .nothing }
        return .choice([
            .sequence([Self.digits(first + 1, 0x39), some(places - 1)]),
            .sequence([Self.digits(first, first), above(bound.dropFirst(), isExclusive, places - 1)]),
        ])
    }

    private func below(_ bound: ArraySlice<UInt8>, _ isExclusive: Bool, _ places: Int) -> Expression {
        guard let first = bound.first else {
            return isExclusive ? .nothing : .repetition(.text("0"), minimum: 0, maximum: places)
        }
        guard places > 0 else { return .empty }
        return .choice([
            .empty, .sequence([Self.digits(0x30, first - 1), some(places - 1)]),
            .sequence([Self.digits(first, first), below(bound.dropFirst(), isExclusive, places - 1)]),
        ])
    }

    private static func digits(_ low: UInt8, _ high: UInt8) -> Expression {
        low > high ? .nothing : .scalars(ScalarSet([UInt32(low)...UInt32(high)]))
    }

    /// Whole numbers of that range, without leading zeros.
    private static func range(_ low: Int, _ high: Int) -> Expression {
        guard low <= high else { return .nothing }
        let (from, to) = (Array(String(low).utf8), Array(String(high).utf8))
        var options: [Expression] = []
        for count in from.count...to.count {
            let least = count == from.count ? from : [0x31] + [UInt8](repeating: 0x30, count: count - 1)
            let most = count == to.count ? to : [UInt8](repeating: 0x39, count: count)
            options.append(range(least[...], most[...]))
        }
        return .choice(options)
    }

    /// Of as many digits as both have.
    private static func range(_ low: ArraySlice<UInt8>, _ high: ArraySlice<UInt8>) -> Expression {
        guard let first = low.first, let last = high.first else { return .empty }
        if low.allSatisfy({ $0 == 0x30 }), high.allSatisfy({ $0 == 0x39 }) { return .times(low.count, digit) }
        let (from, to) = (low.dropFirst(), high.dropFirst())
        if first == last { return .sequence([digits(first, first), range(from, to)]) }
        let rest = Expression.times(from.count, digit)
        let nines = [UInt8](repeating: 0x39, count: from.count),
            zeros = [UInt8](repeating: 0x30, count: to.count)
        return .choice([
            .sequence([digits(first, first), range(from, nines[...])]),
            .sequence([digits(first + 1, last - 1), rest]),
            .sequence([digits(last, last), range(zeros[...], to)]),
        ])
    }
}

extension NumberLanguage {
    private struct Remainder: Hashable {
        enum Phase: Hashable { case start, sign, zero, whole, point, fraction(Int) }
        var phase: Phase
        var rest: Int
    }

    /// Numbers divided digit by digit: as many decimals as the unit has, and no remainder.
    private func multiples(of unit: Decimal) throws(StructuredOutputError) -> Automaton {
        let places = max(-unit.exponent, 0)
        let scale = unit.exponent <= 3 ? (0..<max(unit.exponent, 0)).reduce(1) { power, _ in power * 10 } : 0
        let (size, isTooLarge) = unit.significand.multipliedReportingOverflow(by: scale)
        guard !isTooLarge, (1...3000).contains(size), places <= 12 else {
            throw StructuredOutputError(
                .unsupported, at: place + "/multipleOf", expected: "at most 3000 steps of a power of ten",
                found: "\(unit.double)")
        }
        let columns = (UInt8.min...UInt8.max).map { byte -> UInt8 in
            switch byte {
            case 0x30...0x39: byte - 0x30
            case UInt8(ascii: "-"): 10
            case UInt8(ascii: "."): 11
            default: 12
            }
        }
        let start = Remainder(phase: .start, rest: 0)
        return try Automaton(classes: columns, start: start, limits: limits, place: place) { state in
            var next: [Remainder?] = (0..<10).map { digit in
                step(state, digit: digit, size: size, places: places)
            }
            next.append(state.phase == .start ? Remainder(phase: .sign, rest: 0) : nil)
            let hasWhole = state.phase == .zero || state.phase == .whole
            next.append(
                hasWhole && places > 0 && !isInteger ? Remainder(phase: .point, rest: state.rest) : nil)
            next.append(nil)
            return (next, isWhole(state, size: size, places: places))
        }
    }

    private func step(_ state: Remainder, digit: Int, size: Int, places: Int) -> Remainder? {
        let rest = (state.rest * 10 + digit) % size
        switch state.phase {
        case .start, .sign: return Remainder(phase: digit == 0 ? .zero : .whole, rest: rest)
        case .zero: return nil
        case .whole: return Remainder(phase: .whole, rest: rest)
        case .point: return Remainder(phase: .fraction(1), rest: rest)
        case .fraction(let count):
            return count < places ? Remainder(phase: .fraction(count + 1), rest: rest) : nil
        }
    }

    /// Whether the number so far, with the zeros that its unit's places ask for, leaves no remainder.
    private func isWhole(_ state: Remainder, size: Int, places: Int) -> Bool {
        let missing: Int
        switch state.phase {
        case .start, .sign, .point: return false
        case .zero, .whole: missing = places
        case .fraction(let count): missing = places - count
        }
        return (0..<missing).reduce(state.rest) { rest, _ in rest * 10 % size } == 0
    }
}
