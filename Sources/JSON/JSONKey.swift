/// The name of an object's member. Equal means the same code points: as plain strings "é" would equal "e"
/// followed by an accent, and vocabularies hold both.
public struct JSONKey: Hashable, Sendable, ExpressibleByStringLiteral, CustomStringConvertible {
    public let string: String

    public init(_ string: String) { self.string = string }

    public init(stringLiteral value: String) { string = value }

    public var description: String { string }

    public static func == (a: JSONKey, b: JSONKey) -> Bool { a.string.utf8.elementsEqual(b.string.utf8) }

    public func hash(into hasher: inout Hasher) {
        var text = string
        text.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
    }
}
