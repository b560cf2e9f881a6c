import JSON
import OrderedCollections

/// Turns a schema's JSON into nodes, each place once.
struct SchemaReader {
    /// Nil while a node is being read.
    private(set) var nodes: [SchemaNode?] = []
    private let schema: JSONValue
    private let limits: GrammarLimits
    private let resources: SchemaResources
    private var indices: [SchemaLocation: SchemaNode.Index] = [:]
    private var pending: [(node: SchemaNode.Index, reference: String, resource: String)] = []
    private var depth = 0

    init(_ schema: JSONValue, limits: GrammarLimits) {
        (self.schema, self.limits) = (schema, limits)
        resources = SchemaResources(schema)
    }

    /// Reads everything; the root's index.
    mutating func read() throws(StructuredOutputError) -> SchemaNode.Index {
        let start = resources.entering(schema, SchemaLocation(resource: "", pointer: ""))
        let root = try node(schema, at: start)
        while let (index, reference, resource) = pending.popLast() {
            let place = nodes[index]?.place ?? ""
            let (location, target) = try resources.target(of: reference, in: resource, at: place + "/$ref")
            let found = try node(target, at: location)
            nodes[index]?.reference = found
        }
        return root
    }

    private mutating func node(
        _ schema: JSONValue, at location: SchemaLocation
    ) throws(StructuredOutputError) -> SchemaNode.Index {
        let location = resources.entering(schema, location)
        if let known = indices[location] { return known }
        guard depth < limits.sourceDepth, nodes.count < limits.networkSize / 4 else {
            throw StructuredOutputError(
                .tooComplex, at: location.description,
                expected:
                    "at most \(limits.sourceDepth) levels and \(limits.networkSize / 4) subschemas",
                found: "more")
        }
        depth += 1
        defer { depth -= 1 }
        let index = nodes.count
        nodes.append(nil)
        indices[location] = index
        var node = SchemaNode(place: location.description)
        switch schema {
        case .bool(let value): node.constant = value
        case .object(let members):
            var fields = SchemaFields(members: members, place: node.place)
            try readScalars(&fields, into: &node)
            try readSubschemas(members, location, into: &node)
            if let reference = try fields.string("$ref") {
                pending.append((index, reference, location.resource))
            }
            for name in ["$dynamicRef", "$recursiveRef", "dependencies"] where members[JSONKey(name)] != nil {
                throw StructuredOutputError(
                    .unsupported, at: node.place, expected: "no \(name)", found: name)
            }
        default:
            throw StructuredOutputError(
                .invalid, at: node.place, expected: "a schema (an object or a boolean)", found: schema.kind)
        }
        nodes[index] = node
        return index
    }

    private func readScalars(
        _ fields: inout SchemaFields, into node: inout SchemaNode
    ) throws(StructuredOutputError) {
        node.types = try fields.types()
        node.allowed = try fields.array("enum")
        if let allowed = node.allowed, allowed.count > limits.literals {
            throw StructuredOutputError(
                .tooComplex, at: node.place + "/enum", expected: "at most \(limits.literals) values",
                found: "\(allowed.count)")
        }
        node.constants = fields.members["const"].map { [$0] }
        for (inclusive, exclusive, path) in [
            ("minimum", "exclusiveMinimum", \SchemaNode.minimum),
            ("maximum", "exclusiveMaximum", \SchemaNode.maximum),
        ] {
            if let value = try fields.number(inclusive) {
                node[keyPath: path].append(.init(value: value, isExclusive: false))
            }
            if let value = try fields.number(exclusive) {
                node[keyPath: path].append(.init(value: value, isExclusive: true))
            }
        }
        node.multipleOf = try fields.number("multipleOf")
        if let unit = node.multipleOf, unit.significand <= 0 {
            throw fields.failure("multipleOf", "a number above zero")
        }
        node.minLength = try fields.count("minLength") ?? 0
        node.maxLength = try fields.count("maxLength")
        node.pattern = try fields.string("pattern")
        node.format = try fields.string("format")
        node.required = try fields.names("required") ?? []
        node.minProperties = try fields.count("minProperties") ?? 0
        node.maxProperties = try fields.count("maxProperties")
        node.minContains = try fields.count("minContains")
        node.maxContains = try fields.count("maxContains")
        node.minItems = try fields.count("minItems") ?? 0
        node.maxItems = try fields.count("maxItems")
        node.uniqueItems = try fields.bool("uniqueItems") ?? false
        node.dependentRequired = try fields.dependentRequired()
    }

    private mutating func readSubschemas(
        _ members: JSONValue.Members, _ location: SchemaLocation, into node: inout SchemaNode
    ) throws(StructuredOutputError) {
        for (name, path) in Self.single {
            guard let schema = members[name] else { continue }
            // Before 2020-12, a list of `items` was what `prefixItems` is now.
            if name == "items", case .array = schema { continue }
            node[keyPath: path] = try self.node(schema, at: location.appending(name.string))
        }
        let legacy = members["items"]?.array != nil
        node.all = try list("allOf", members, location) ?? []
        node.any = try list("anyOf", members, location)
        node.one = try list("oneOf", members, location)
        node.prefixItems =
            try list(legacy ? "items" : "prefixItems", members, location, mayBeEmpty: legacy) ?? []
        if legacy, let rest = members["additionalItems"] {
            node.items = try self.node(rest, at: location.appending("additionalItems"))
        }
        node.properties = try map("properties", members, location)
        node.patternProperties = try map("patternProperties", members, location)
        node.dependentSchemas = try map("dependentSchemas", members, location)
    }

    private static let single: [(JSONKey, any WritableKeyPath<SchemaNode, SchemaNode.Index?> & Sendable)] = [
        ("not", \.not), ("if", \.condition), ("then", \.consequence), ("else", \.alternative),
        ("additionalProperties", \.additionalProperties), ("unevaluatedProperties", \.unevaluatedProperties),
        ("propertyNames", \.propertyNames), ("items", \.items), ("unevaluatedItems", \.unevaluatedItems),
        ("contains", \.contains),
    ]

    private mutating func list(
        _ name: JSONKey, _ members: JSONValue.Members, _ location: SchemaLocation, mayBeEmpty: Bool = false
    ) throws(StructuredOutputError) -> [SchemaNode.Index]? {
        guard let value = members[name] else { return nil }
        let location = location.appending(name.string)
        guard case .array(let schemas) = value, mayBeEmpty || !schemas.isEmpty else {
            throw StructuredOutputError(
                .invalid, at: location.description, expected: "a list of schemas", found: value.kind)
        }
        var indices: [SchemaNode.Index] = []
        for (index, schema) in schemas.enumerated() {
            indices.append(try node(schema, at: location.appending("\(index)")))
        }
        return indices
    }

    private mutating func map(
        _ name: JSONKey, _ members: JSONValue.Members, _ location: SchemaLocation
    ) throws(StructuredOutputError) -> OrderedDictionary<JSONKey, SchemaNode.Index> {
        guard let value = members[name] else { return [:] }
        let location = location.appending(name.string)
        guard case .object(let schemas) = value else {
            throw StructuredOutputError(
                .invalid, at: location.description, expected: "schemas by name", found: value.kind)
        }
        var indices: OrderedDictionary<JSONKey, SchemaNode.Index> = [:]
        for (key, schema) in schemas { indices[key] = try node(schema, at: location.appending(key.string)) }
        return indices
    }
}

/// Keywords with values of their own, read with their shapes checked.
struct SchemaFields {
    let members: JSONValue.Members
    let place: String

    func failure(_ name: String, _ expected: String) -> StructuredOutputError {
        StructuredOutputError(
            .invalid, at: place + "/" + name, expected: expected,
            found: members[JSONKey(name)]?.serialized ?? "nothing")
    }

    func string(_ name: String) throws(StructuredOutputError) -> String? {
        guard let value = members[JSONKey(name)] else { return nil }
        guard let string = value.string else { throw failure(name, "a string") }
        return string
    }

    func bool(_ name: String) throws(StructuredOutputError) -> Bool? {
        guard let value = members[JSONKey(name)] else { return nil }
        guard let bool = value.bool else { throw failure(name, "a boolean") }
        return bool
    }

    func number(_ name: String) throws(StructuredOutputError) -> Decimal? {
        guard let value = members[JSONKey(name)] else { return nil }
        guard let number = Decimal(value) else { throw failure(name, "a number") }
        return number
    }

    func count(_ name: String) throws(StructuredOutputError) -> Int? {
        guard let value = members[JSONKey(name)] else { return nil }
        guard let count = value.int, count >= 0 else { throw failure(name, "a count from 0 on") }
        return count
    }

    func array(_ name: String) throws(StructuredOutputError) -> [JSONValue]? {
        guard let value = members[JSONKey(name)] else { return nil }
        guard let values = value.array else { throw failure(name, "a list") }
        return values
    }

    private func names(_ value: JSONValue, _ name: String) throws(StructuredOutputError) -> [JSONKey] {
        guard let values = value.array else { throw failure(name, "a list of names") }
        var names: [JSONKey] = []
        for value in values {
            guard let string = value.string else { throw failure(name, "a list of names") }
            names.append(JSONKey(string))
        }
        return names
    }

    func names(_ name: String) throws(StructuredOutputError) -> [JSONKey]? {
        guard let value = members[JSONKey(name)] else { return nil }
        return try names(value, name)
    }

    func dependentRequired() throws(StructuredOutputError) -> OrderedDictionary<JSONKey, [JSONKey]> {
        guard let value = members["dependentRequired"] else { return [:] }
        guard let lists = value.object else { throw failure("dependentRequired", "lists of names by name") }
        var result: OrderedDictionary<JSONKey, [JSONKey]> = [:]
        for (key, value) in lists { result[key] = try names(value, "dependentRequired") }
        return result
    }

    /// `type`, and `nullable` as OpenAPI has it.
    func types() throws(StructuredOutputError) -> SchemaTypes {
        guard let value = members["type"] else { return .all }
        var types: SchemaTypes = []
        for name in value.array ?? [value] {
            guard let type = name.string.flatMap(SchemaTypes.init(name:)) else {
                throw failure("type", "null, boolean, string, array, object, integer or number")
            }
            types.formUnion(type)
        }
        return members["nullable"] == .bool(true) ? types.union(.null) : types
    }
}
