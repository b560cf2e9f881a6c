import JSON
import OrderedCollections

/// A JSON schema (2020-12), read: every subschema that counts, references resolved.
///
/// References lead within the document, by pointer, anchor or `$id`. Nothing is ever fetched.
struct SchemaDocument: Sendable {
    private(set) var nodes: [SchemaNode] = []
    let root: SchemaNode.Index
    let limits: GrammarLimits

    /// Errors: `invalid` for keywords of the wrong shape, missing targets of references and references that
    /// lead to themselves; `unsupported` for references to other documents; `tooComplex`.
    init(_ schema: JSONValue, limits: GrammarLimits) throws(StructuredOutputError) {
        var reader = SchemaReader(schema, limits: limits)
        root = try reader.read()
        nodes = reader.nodes.compactMap(\.self)
        self.limits = limits
        try refuseCircles()
    }

    subscript(index: SchemaNode.Index) -> SchemaNode { nodes[index] }

    /// A subschema must not look at the same value through itself.
    private func refuseCircles() throws(StructuredOutputError) {
        enum Mark { case open, done }
        var marks: [SchemaNode.Index: Mark] = [:]
        var pending: [(index: SchemaNode.Index, leaving: Bool)] = nodes.indices.map { ($0, false) }
        while let (index, leaving) = pending.popLast() {
            if leaving {
                marks[index] = .done
                continue
            }
            guard marks[index] != .done else { continue }
            marks[index] = .open
            pending.append((index, true))
            for child in nodes[index].inPlace {
                switch marks[child] {
                case .open:
                    throw StructuredOutputError(
                        .invalid, at: nodes[index].place, expected: "a reference to another schema",
                        found: "one that leads back to itself")
                case .done: break
                case nil: pending.append((child, false))
                }
            }
        }
    }
}

/// Where a schema stands: the resource (`$id`) it belongs to, and the pointer within that.
struct SchemaLocation: Hashable, Sendable {
    var resource: String
    var pointer: String

    func appending(_ token: String) -> SchemaLocation {
        let escaped = token.flatMap { $0 == "~" ? "~0" : $0 == "/" ? "~1" : String($0) }
        return SchemaLocation(resource: resource, pointer: pointer + "/" + String(escaped))
    }

    var description: String { resource + "#" + pointer }
}

/// The places in a document that references may name.
struct SchemaResources: Sendable {
    private(set) var resources: [String: JSONValue] = [:]
    private var anchors: [String: (location: SchemaLocation, schema: JSONValue)] = [:]

    init(_ schema: JSONValue) {
        resources[""] = schema
        collect(schema, SchemaLocation(resource: "", pointer: ""))
    }

    /// Keywords whose value is a schema, a list of schemas, or schemas by name.
    private static let keywords: [JSONKey] = [
        "not", "if", "then", "else", "additionalProperties", "unevaluatedProperties", "propertyNames",
        "items",
        "unevaluatedItems", "contains", "additionalItems", "contentSchema", "allOf", "anyOf", "oneOf",
        "prefixItems",
    ]
    private static let maps: [JSONKey] = [
        "properties", "patternProperties", "dependentSchemas", "$defs", "definitions",
    ]

    private mutating func collect(_ schema: JSONValue, _ place: SchemaLocation) {
        guard let members = schema.object else { return }
        let place = entering(schema, place)
        if schema["$id"]?.string != nil { resources[place.resource] = schema }
        if let anchor = schema["$anchor"]?.string {
            anchors[place.resource + "#" + anchor] = (place, schema)
        }
        for key in Self.keywords {
            guard let value = members[key] else { continue }
            let place = place.appending(key.string)
            collect(value, place)
            for (index, item) in (value.array ?? []).enumerated() {
                collect(item, place.appending("\(index)"))
            }
        }
        for key in Self.maps {
            let place = place.appending(key.string)
            for (name, value) in members[key]?.object ?? [:] {
                collect(value, place.appending(name.string))
            }
        }
    }

    /// The location as its own `$id`, if any, names it.
    func entering(_ schema: JSONValue, _ place: SchemaLocation) -> SchemaLocation {
        guard let id = schema["$id"]?.string else { return place }
        let name = Self.resolve(id, against: place.resource)
        return SchemaLocation(resource: name.hasSuffix("#") ? String(name.dropLast()) : name, pointer: "")
    }

    /// RFC 3986 without dot segments: absolute, rooted, or beside the last segment of the base.
    static func resolve(_ reference: String, against base: String) -> String {
        if reference.hasPrefix("#") { return base + reference }
        let scheme = reference.prefix { $0 != ":" && $0 != "/" && $0 != "#" }
        if reference.dropFirst(scheme.count).first == ":" { return reference }
        let head = base.prefix { $0 != "#" }
        var authorityEnd = head.startIndex
        if let slashes = head.firstIndex(of: "/"), head[slashes...].hasPrefix("//") {
            let host = head.index(slashes, offsetBy: 2)
            authorityEnd = head[host...].firstIndex(of: "/") ?? head.endIndex
        }
        if reference.hasPrefix("/") { return head[..<authorityEnd] + reference }
        guard let slash = head[authorityEnd...].lastIndex(of: "/") else {
            return authorityEnd == head.startIndex ? reference : head + "/" + reference
        }
        return head[...slash] + reference
    }

    /// What `reference`, standing in a schema of `resource`, names.
    func target(
        of reference: String, in resource: String, at place: String
    ) throws(StructuredOutputError) -> (location: SchemaLocation, schema: JSONValue) {
        let name = Self.resolve(reference, against: resource)
        let parts = name.split(separator: "#", maxSplits: 1, omittingEmptySubsequences: false)
        let (target, fragment) = (String(parts[0]), parts.count > 1 ? String(parts[1]) : "")
        if let anchor = anchors[target + "#" + fragment], !fragment.isEmpty { return anchor }
        guard let root = resources[target] else {
            throw StructuredOutputError(
                .unsupported, at: place, expected: "a reference within the schema", found: "\"\(reference)\"")
        }
        var (location, schema) = (SchemaLocation(resource: target, pointer: ""), root)
        guard fragment.isEmpty || fragment.hasPrefix("/") else {
            throw missing(reference, place)
        }
        for token in fragment.split(separator: "/", omittingEmptySubsequences: false).dropFirst() {
            let name = Self.unescaped(token)
            let child: JSONValue? =
                switch schema {
                case .object: schema[name]
                case .array(let values): Int(name).flatMap { values.indices.contains($0) ? values[$0] : nil }
                default: nil
                }
            guard let child else { throw missing(reference, place) }
            location = entering(child, location.appending(name))
            schema = child
        }
        return (location, schema)
    }

    private func missing(_ reference: String, _ place: String) -> StructuredOutputError {
        StructuredOutputError(
            .invalid, at: place, expected: "a reference to a schema that is there", found: "\"\(reference)\"")
    }

    /// A pointer's token, without percent and tilde escapes.
    private static func unescaped(_ token: Substring) -> String {
        var (bytes, rest) = ([UInt8](), Array(token.utf8)[...])
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "%"), rest.count >= 2,
                let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16)
            {
                bytes.append(value)
                rest.removeFirst(2)
            } else {
                bytes.append(byte)
            }
        }
        let text = String(decoding: bytes, as: UTF8.self)
        var (result, isEscaped) = ("", false)
        for character in text {
            if isEscaped {
                result += character == "0" ? "~" : character == "1" ? "/" : "~\(character)"
                isEscaped = false
            } else if character == "~" {
                isEscaped = true
            } else {
                result.append(character)
            }
        }
        return isEscaped ? result + "~" : result
    }
}
