import JSON
import OrderedCollections
import Testing

@testable import StructuredOutput

/// Random schemas, and a model that draws tokens at random: all it says is valid.
@Suite struct RandomSchemaTests {
    struct Maker {
        var random: Random
        var definitions = 0

        mutating func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &random) < percent }

        mutating func count(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &random) }

        mutating func document() -> JSONValue {
            definitions = count(0...3)
            var members = schema(depth: 4).object ?? [:]
            guard definitions > 0 else { return .object(members) }
            var targets: JSONValue.Members = [:]
            // A definition may name itself and others only where it need not follow them.
            for index in 0..<definitions { targets[JSONKey("d\(index)")] = object(depth: 2) }
            members["$defs"] = .object(targets)
            return .object(members)
        }

        mutating func schema(depth: Int) -> JSONValue {
            switch count(0...(depth > 0 ? 17 : 6)) {
            case 0: return ["type": .array([kind(), kind()])]
            case 1, 2: return string()
            case 3: return number("integer")
            case 4: return number("number")
            case 5: return ["enum": .array((0..<count(1...4)).map { _ in constant() })]
            case 6: return chance(50) ? ["const": constant()] : .object([:])
            case 7: return array(depth: depth)
            case 8, 9, 10: return object(depth: depth)
            case 11: return ["anyOf": .array((0..<count(1...3)).map { _ in schema(depth: depth - 1) })]
            case 12: return ["allOf": [object(depth: depth - 1), object(depth: depth - 1)]]
            case 13:
                var members: JSONValue.Members = ["if": plain(depth: depth - 1)]
                if chance(80) { members["then"] = schema(depth: depth - 1) }
                if chance(60) { members["else"] = schema(depth: depth - 1) }
                return .object(members)
            case 14: return ["not": plain(depth: depth - 1), "type": .array([kind(), kind(), "object"])]
            case 15: return ["oneOf": .array((0..<count(2...3)).map { _ in plain(depth: depth - 1) })]
            case 16:
                var members = array(depth: depth).object ?? [:]
                members["contains"] = plain(depth: depth - 1)
                if chance(50) { members["minContains"] = .integer(count(0...3)) }
                if chance(40) { members["maxContains"] = .integer(count(1...3)) }
                return .object(members)
            default:
                return definitions > 0
                    ? [
                        "anyOf": [
                            ["type": "null"], ["$ref": .string("#/$defs/d\(count(0...definitions - 1))")],
                        ]
                    ]
                    : ["oneOf": [string(), number("integer"), ["type": "null"]]]
            }
        }

        /// One whose opposite can mostly be said.
        mutating func plain(depth: Int) -> JSONValue {
            switch count(0...(depth > 0 ? 8 : 5)) {
            case 0: return ["type": kind()]
            case 1: return ["type": "string", "minLength": .integer(count(0...3))]
            case 2: return ["type": "integer", "minimum": .integer(count(-9...9))]
            case 3: return ["maximum": .integer(count(-9...9))]
            case 4:
                return [
                    "enum": .array(
                        ["a", "ab", true, nil, 3, 2.5].shuffled(using: &random).prefix(2).map { $0 })
                ]
            case 5: return ["required": ["a"]]
            case 6:
                return [
                    "properties": ["a": plain(depth: depth - 1), "née": plain(depth: depth - 1)],
                    "required": chance(50) ? ["a"] : [],
                ]
            case 7: return ["allOf": [plain(depth: depth - 1), ["not": plain(depth: depth - 1)]]]
            default: return ["anyOf": [plain(depth: depth - 1), plain(depth: depth - 1)]]
            }
        }

        mutating func kind() -> JSONValue {
            .string(
                ["null", "boolean", "string", "array", "object", "integer", "number"].randomElement(
                    using: &random) ?? "null")
        }

        mutating func constant() -> JSONValue {
            [nil, true, 0, -7, 2.5, "", "a\"b\n", "日本", [1, "x"], ["k": [false]]].randomElement(
                using: &random) ?? nil
        }

        mutating func string() -> JSONValue {
            var members: JSONValue.Members = ["type": "string"]
            switch count(0...4) {
            case 0:
                members["minLength"] = .integer(count(0...3))
                members["maxLength"] = .integer(count(3...20))
            case 1:
                let patterns = [
                    "^[a-z]+$", "x", "^\\d{3}-\\d{2}$", "[\"\\\\]", "^(ab|é)*$", "\\s$", "^.{2,5}$",
                ]
                members["pattern"] = .string(patterns.randomElement(using: &random) ?? "")
                if chance(30) { members["maxLength"] = .integer(count(8...12)) }
            case 2: members["format"] = .string(SchemaFormats.names.randomElement(using: &random) ?? "")
            default: break
            }
            return .object(members)
        }

        mutating func number(_ type: String) -> JSONValue {
            var members: JSONValue.Members = ["type": .string(type)]
            let low: JSONValue =
                chance(50) ? .integer(count(-50...50)) : .number(Double(count(-500...500)) / 8)
            if chance(50) { members[chance(50) ? "minimum" : "exclusiveMinimum"] = low }
            if chance(50) {
                members[chance(50) ? "maximum" : "exclusiveMaximum"] = .number(
                    (low.double ?? 0) + Double(count(2...900)) / 4)
            }
            if chance(25) { members["multipleOf"] = [1, 3, 0.5, 0.01, 25].randomElement(using: &random) }
            return .object(members)
        }

        mutating func array(depth: Int) -> JSONValue {
            var members: JSONValue.Members = ["type": "array"]
            if chance(30) {
                members["prefixItems"] = .array((0..<count(1...3)).map { _ in schema(depth: depth - 1) })
            }
            if chance(70) { members["items"] = schema(depth: depth - 1) }
            if chance(30) { members["minItems"] = .integer(count(0...2)) }
            if chance(30) { members["maxItems"] = .integer(count(2...5)) }
            return .object(members)
        }

        mutating func object(depth: Int) -> JSONValue {
            var (members, properties) = (["type": "object"] as JSONValue.Members, [:] as JSONValue.Members)
            for name in ["a", "b", "née", "q\"\\", "long name"].shuffled(using: &random).prefix(count(0...4))
            {
                properties[JSONKey(name)] = schema(depth: depth - 1)
            }
            if !properties.isEmpty { members["properties"] = .object(properties) }
            let required = properties.keys.filter { _ in chance(50) }
            if !required.isEmpty { members["required"] = .array(required.map { .string($0.string) }) }
            if chance(20) { members["additionalProperties"] = chance(50) ? false : schema(depth: depth - 1) }
            if chance(10) { members["patternProperties"] = ["^[ab]": schema(depth: depth - 1)] }
            if chance(10) { members["maxProperties"] = .integer(count(required.count...6)) }
            if chance(10), required.isEmpty { members["minProperties"] = 1 }
            return .object(members)
        }
    }

    /// Ten tests of a hundred schemas each.
    @Test(arguments: 0..<10)
    func everythingSaidIsValid(_ part: Int) throws {
        var (answers, refusals) = (0, 0)
        for seed in part * 100..<part * 100 + 100 {
            var maker = Maker(random: Random(seed: seed + 1))
            let schema = maker.document()
            let compiled = Result {
                try CompiledConstraint(.jsonSchema(schema), tokens: Vocabularies.small)
            }
            guard case .success(let constraint) = compiled else {
                let error = code { _ = try compiled.get() }
                #expect(error == .unsatisfiable || error == .unsupported, "\(schema.serialized): \(compiled)")
                refusals += 1
                continue
            }
            let validator = try JSONSchemaValidator(schema)
            for _ in 0..<2 {
                guard let bytes = try randomAnswer(constraint.grammar, &maker.random) else { continue }
                answers += 1
                let text = try #require(String(validating: bytes, as: UTF8.self))
                let value = try JSONValue(parsing: text)
                #expect(throws: Never.self, "\(schema.serialized): \(text)") { try validator.validate(value) }
                #expect(throws: Never.self) { try constraint.validate(text) }
            }
        }
        #expect(answers > 120, "\(answers) answers, \(refusals) schemas refused")
    }
}
