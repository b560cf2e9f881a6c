import JSON
import OrderedCollections

/// What several subschemas ask of one value together, with every choice between subschemas made.
struct SchemaFacts: Sendable {
    /// All of them; a value that satisfies these is what is wanted.
    var nodes: OrderedSet<SchemaNode.Index> = []
    var types = SchemaTypes.all
    /// Lists of values; it must be in each.
    var allowed: [[JSONValue]] = []
    /// Strings and booleans that it must not be.
    var excluded: [JSONValue] = []
    var minimum: SchemaNode.Bound?
    var maximum: SchemaNode.Bound?
    var multiples: [Decimal] = []
    var minLength = 0
    var maxLength: Int?
    var patterns: OrderedSet<String> = []
    var formats: OrderedSet<String> = []
    var required: OrderedSet<JSONKey> = []
    /// Members that must not be there.
    var forbidden: OrderedSet<JSONKey> = []
    /// Schemas that members must not satisfy.
    var refused: OrderedDictionary<JSONKey, OrderedSet<SchemaNode.Index>> = [:]
    var minProperties = 0
    var maxProperties: Int?
    var minItems = 0
    var maxItems: Int?

    /// Both; nil when that is plainly impossible.
    func merged(with other: SchemaFacts) -> SchemaFacts? {
        var result = self
        result.nodes.formUnion(other.nodes)
        result.types.formIntersection(other.types)
        guard !result.types.isEmpty else { return nil }
        result.allowed += other.allowed
        result.excluded += other.excluded.filter { !excluded.contains($0) }
        result.minimum = Self.tighter(minimum, other.minimum) { $0 > $1 }
        result.maximum = Self.tighter(maximum, other.maximum) { $0 < $1 }
        result.multiples += other.multiples.filter { !multiples.contains($0) }
        result.minLength = max(minLength, other.minLength)
        result.maxLength = Self.least(maxLength, other.maxLength)
        result.patterns.formUnion(other.patterns)
        result.formats.formUnion(other.formats)
        result.required.formUnion(other.required)
        result.forbidden.formUnion(other.forbidden)
        result.refused.merge(other.refused) { $0.union($1) }
        result.minProperties = max(minProperties, other.minProperties)
        result.maxProperties = Self.least(maxProperties, other.maxProperties)
        result.minItems = max(minItems, other.minItems)
        result.maxItems = Self.least(maxItems, other.maxItems)
        return result
    }

    private static func least(_ a: Int?, _ b: Int?) -> Int? { [a, b].compactMap(\.self).min() }

    private static func tighter(
        _ a: SchemaNode.Bound?, _ b: SchemaNode.Bound?, _ isTighter: (Decimal, Decimal) -> Bool
    ) -> SchemaNode.Bound? {
        guard let a, let b else { return a ?? b }
        if a.value == b.value { return a.isExclusive ? a : b }
        return isTighter(a.value, b.value) ? a : b
    }

    /// What the keywords of one node say by themselves.
    init(_ index: SchemaNode.Index, _ node: SchemaNode) {
        nodes = [index]
        types = node.types
        allowed = [node.allowed, node.constants].compactMap(\.self)
        for bound in node.minimum { minimum = Self.tighter(minimum, bound) { $0 > $1 } }
        for bound in node.maximum { maximum = Self.tighter(maximum, bound) { $0 < $1 } }
        multiples = [node.multipleOf].compactMap(\.self)
        (minLength, maxLength) = (node.minLength, node.maxLength)
        patterns = OrderedSet([node.pattern].compactMap(\.self))
        formats = OrderedSet([node.format].compactMap(\.self))
        required = OrderedSet(node.required)
        (minProperties, maxProperties) = (node.minProperties, node.maxProperties)
        (minItems, maxItems) = (node.minItems, node.maxItems)
    }

    init() {}

    /// Equal for facts that say the same.
    struct Identity: Hashable {
        let nodes: Set<SchemaNode.Index>
        let types: SchemaTypes
        let required: Set<JSONKey>
        let forbidden: Set<JSONKey>
        let refused: [JSONKey: Set<SchemaNode.Index>]
        let limits: [String]
    }

    var identity: Identity {
        // What nodes say is the same for the same nodes; what is not said by a node is told apart as text.
        Identity(
            nodes: Set(nodes), types: types, required: Set(required), forbidden: Set(forbidden),
            refused: Dictionary(uniqueKeysWithValues: refused.map { ($0.key, Set($0.value)) }),
            limits: [
                "\(minLength) \(maxLength ?? -1) \(minItems) \(maxItems ?? -1) \(minProperties) \(maxProperties ?? -1)",
                minimum.map { "\($0)" } ?? "", maximum.map { "\($0)" } ?? "",
            ] + excluded.map(\.serialized).sorted())
    }
}
