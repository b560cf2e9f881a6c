/// A config.json that no model can be built from.
public enum ConfigError: Error, Equatable, CustomStringConvertible {
    case outOfRange(String, found: Int)
    case notMultiple(String, Int, of: String, Int)
    case unsupportedModelType(String?, supported: [String])
    case malformed(String)

    public var description: String {
        switch self {
        case .outOfRange(let key, let found):
            "config: \(key) must be between 1 and \(largestDimension), found \(found)"
        case .notMultiple(let key, let value, let other, let divisor):
            key == other || other == String(divisor)
                ? "config: \(key) must be a multiple of \(divisor), found \(value)"
                : "config: \(key) (\(value)) must be a multiple of \(other) (\(divisor))"
        case .unsupportedModelType(let type, let supported):
            "config: model_type \(type.map { "'\($0)'" } ?? "is missing and") is not supported; expected one of "
                + supported.joined(separator: ", ")
        case .malformed(let reason): "config: \(reason)"
        }
    }
}

/// The largest count or width that a config may name: little memory is asked for before a weight is missed.
private let largestDimension = 1 << 24
/// The largest number of heads, and the widest head.
private let largestHead = 1 << 16

/// A config that can tell whether its numbers make a model, before any weight is read.
public protocol ValidatedConfig {
    func validate() throws(ConfigError)
}

extension ValidatedConfig {
    /// Every value from 1 to `largestDimension`, so that products of two cannot overflow.
    func requirePositive(_ values: (String, Int)...) throws(ConfigError) {
        for (key, value) in values where !(1...largestDimension).contains(value) {
            throw .outOfRange(key, found: value)
        }
    }

    /// Numbers and widths of heads, from which a little is worked out before any weight is read.
    func requireHeads(_ values: (String, Int)...) throws(ConfigError) {
        for (key, value) in values where !(1...largestHead).contains(value) {
            throw .malformed("\(key) must be between 1 and \(largestHead), found \(value)")
        }
    }

    func requireMultiple(_ key: String, _ value: Int, of other: String, _ divisor: Int) throws(ConfigError) {
        guard divisor > 0, value.isMultiple(of: divisor) else {
            throw .notMultiple(key, value, of: other, divisor)
        }
    }
}

extension ValidatedConfig {
    /// As many experts as are chosen at least.
    func requireExperts(_ chosen: Int, of key: String, _ count: Int) throws(ConfigError) {
        try requirePositive((key, count), ("num_experts_per_tok", chosen))
        guard chosen <= count else {
            throw .malformed("num_experts_per_tok (\(chosen)) must not exceed \(key) (\(count))")
        }
    }
}

extension ValidatedConfig {
    /// A square of so many pixels a side, cut into patches.
    func requireTile(_ size: Int, patch: Int) throws(ConfigError) {
        try requireMultiple("image_size", size, of: "patch_size", patch)
        guard size <= 4096, size >= patch else {
            throw .malformed("image_size must be from patch_size (\(patch)) to 4096, found \(size)")
        }
    }
}
