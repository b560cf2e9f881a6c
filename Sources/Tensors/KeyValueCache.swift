/// What one token occupies in the cache: in every layer a row of keys and a row of values.
public struct CacheLayout: Sendable, Equatable {
    public let layers: Int
    /// Key-value heads of a layer.
    public let heads: Int
    /// Columns of one head of a token's keys.
    public let keyWidth: Int
    public let valueWidth: Int
    /// Whether a token's values are the first columns of its keys, none of which is rotated.
    public let valuesLeadKeys: Bool

    public init(layers: Int, heads: Int, keyWidth: Int, valueWidth: Int, valuesLeadKeys: Bool = false) {
        precondition(!valuesLeadKeys || valueWidth <= keyWidth, "values of \(valueWidth) columns in keys")
        (self.layers, self.heads) = (layers, heads)
        (self.keyWidth, self.valueWidth, self.valuesLeadKeys) = (keyWidth, valueWidth, valuesLeadKeys)
    }

    /// Whether keys alone are stored. Those in bytes are spread over their columns, so that values are not among them.
    public func keysHoldValues(_ element: CacheElement) -> Bool { valuesLeadKeys && element != .int8 }

    /// Columns that a head of a token takes in a layer.
    public func storedWidth(_ element: CacheElement) -> Int {
        keysHoldValues(element) ? keyWidth : keyWidth + valueWidth
    }

    public func bytesPerToken(_ element: CacheElement) -> Int {
        layers * heads * (storedWidth(element) * element.bytes + 2 * element.scaleBytes)
    }
}

/// How the cache stores one number.
public enum CacheElement: Sendable, CaseIterable {
    case float32, float16, bfloat16
    /// A signed byte times the scale of its token and head.
    case int8

    public var bytes: Int {
        switch self {
        case .float32: 4
        case .float16, .bfloat16: 2
        case .int8: 1
        }
    }

    /// Bytes of the scale that a token's head has for its keys, and of the one for its values.
    public var scaleBytes: Int { self == .int8 ? 2 : 0 }
}

/// A cache that the backend has no memory for.
public struct CacheMemoryError: Error, Equatable, CustomStringConvertible {
    public let slots: Int
    public let bytesPerSlot: Int

    public init(slots: Int, bytesPerSlot: Int) { (self.slots, self.bytesPerSlot) = (slots, bytesPerSlot) }

    public var description: String {
        "the key-value cache of \(slots) tokens, \(bytesPerSlot) bytes each, cannot be allocated"
    }
}

/// Keys and values of past tokens, addressed by slot: one slot holds one token in every layer.
public protocol KeyValueCache: AnyObject, Sendable {
    var layout: CacheLayout { get }
    var element: CacheElement { get }
    var slots: Int { get }
}
