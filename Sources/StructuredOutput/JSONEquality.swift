import JSON
import OrderedCollections

extension JSONValue {
    /// Equality as JSON schemas mean it: 1 is 1.0, and the order of members does not matter.
    func isSame(as other: JSONValue) -> Bool {
        switch (self, other) {
        case (.array(let a), .array(let b)):
            return a.count == b.count && zip(a, b).allSatisfy { $0.isSame(as: $1) }
        case (.object(let a), .object(let b)):
            return a.count == b.count
                && a.allSatisfy { key, value in b[key].map { value.isSame(as: $0) } ?? false }
        case (.string(let a), .string(let b)): return a.utf8.elementsEqual(b.utf8)
        default:
            if let a = Decimal(self), let b = Decimal(other) { return a == b }
            return self == other
        }
    }

    /// A text that is equal for values that are the same.
    var canonical: String {
        switch self {
        case .array(let values): "[" + values.map(\.canonical).joined(separator: ",") + "]"
        case .object(let members):
            "{"
                + members.map { "\(JSONValue.string($0.key.string).serialized):\($0.value.canonical)" }
                .sorted().joined(separator: ",") + "}"
        default: Decimal(self).map { "\($0.significand)e\($0.exponent)" } ?? serialized
        }
    }
}
