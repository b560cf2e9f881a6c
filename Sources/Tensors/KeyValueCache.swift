/// What one token occupies in the cache: in every layer a row of keys and a row of values.
public struct CacheLayout: Sendable, Equatable {
    public let layers: Int
    /// Columns of a token's keys in one layer, all heads together.
    public let keyWidth: Int
    public let valueWidth: Int

    public init(layers: Int, keyWidth: Int, valueWidth: Int) {
        (self.layers, self.keyWidth, self.valueWidth) = (layers, keyWidth, valueWidth)
    }

    public func bytesPerToken(_ element: CacheElement) -> Int {
        layers * (keyWidth + valueWidth) * element.bytes
    }
}

/// How the cache stores one number.
public enum CacheElement: Sendable, CaseIterable {
    case float32, float16, bfloat16

    public var bytes: Int { self == .float32 ? 4 : 2 }
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
