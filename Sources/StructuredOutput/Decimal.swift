import JSON

/// A number as JSON writes it: `significand` x 10^`exponent`, exactly.
struct Decimal: Hashable, Comparable, Sendable {
    /// No trailing zeros, but for zero itself.
    let significand: Int
    let exponent: Int

    init(significand: Int, exponent: Int) {
        var (significand, exponent) = (significand, significand == 0 ? 0 : exponent)
        while significand != 0, significand % 10 == 0 {
            (significand, exponent) = (significand / 10, exponent + 1)
        }
        (self.significand, self.exponent) = (significand, exponent)
    }

    /// Nil when the value is no number. A double is its shortest digits.
    init?(_ value: JSONValue) {
        switch value {
        case .integer(let integer): self.init(significand: integer, exponent: 0)
        case .number(let double): self.init(double)
        default: return nil
        }
    }

    private init?(_ double: Double) {
        guard double.isFinite else { return nil }
        let parts = double.description.split(separator: "e")
        guard let mantissa = parts.first, let shift = parts.count > 1 ? Int(parts[1]) : 0 else { return nil }
        let digits = mantissa.split(separator: ".")
        let fraction = digits.count > 1 ? digits[1] : ""
        // A double's shortest digits are 17 at most, but small whole ones are padded with zeros.
        guard let whole = digits.first, let significand = Int(whole + fraction) else { return nil }
        self.init(significand: significand, exponent: shift - fraction.count)
    }

    var double: Double { Double("\(significand)e\(exponent)") ?? 0 }

    /// Whether it is a whole multiple of `unit`, which is above zero.
    func isMultiple(of unit: Decimal) -> Bool {
        guard significand != 0 else { return true }
        let size = unit.significand.magnitude
        if exponent >= unit.exponent {
            var rest = significand.magnitude % size
            for _ in 0..<min(exponent - unit.exponent, 700) where rest != 0 {
                let (high, low) = rest.multipliedFullWidth(by: 10)
                rest = size.dividingFullWidth((high % size, low)).remainder
            }
            return rest == 0
        }
        // The significand has no trailing zeros, so that it is no multiple of ten.
        return false
    }

    static func < (a: Decimal, b: Decimal) -> Bool {
        let shared = min(a.exponent, b.exponent)
        guard let left = a.scaled(to: shared), let right = b.scaled(to: shared) else {
            return a.double < b.double
        }
        return left < right
    }

    /// How many 10^`exponent` it is; nil when that does not fit.
    private func scaled(to exponent: Int) -> Int? {
        guard self.exponent - exponent < 19 else { return nil }
        var result = significand
        for _ in 0..<self.exponent - exponent {
            let (product, overflow) = result.multipliedReportingOverflow(by: 10)
            if overflow { return nil }
            result = product
        }
        return result
    }
}
