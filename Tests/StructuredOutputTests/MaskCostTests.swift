import Foundation
import JSON
import OrderedCollections
import Testing

@testable import StructuredOutput

/// What masks cost at the size of a real vocabulary: Qwen2's where `LIGHTLLM_GOLDENS` has it, else one like it.
@Suite(.serialized, .enabled(if: !isDebug)) struct MaskCostTests {
    static let tokens: TokenTrie = {
        if let folder = ProcessInfo.processInfo.environment["LIGHTLLM_GOLDENS"],
            let data = try? Data(contentsOf: URL(filePath: folder + "/tokenizers/qwen2/tokenizer.json")),
            let file = try? JSONValue(parsing: Array(data)), let words = file["model"]?["vocab"]?.object
        {
            var texts = [[UInt8]](repeating: [], count: words.count + 8)
            for (word, id) in words {
                guard let id = id.int, texts.indices.contains(id) else { continue }
                texts[id] = word.string.unicodeScalars.map { byte[$0] ?? 0 }
            }
            return TokenTrie(vocabulary: texts, endTokens: [words.count])
        }
        return TokenTrie(vocabulary: synthetic, endTokens: [0])
    }()

    /// How byte-level vocabularies write bytes: printable Latin-1 as it is, the rest from U+0100 on.
    static let byte: [Unicode.Scalar: UInt8] = {
        var (map, next): ([Unicode.Scalar: UInt8], UInt32) = ([:], 0x100)
        for byte in UInt8.min...UInt8.max {
            if (0x21...0x7E).contains(byte) || (0xA1...0xAC).contains(byte) || byte >= 0xAE {
                map[Unicode.Scalar(byte)] = byte
            } else {
                map[Unicode.Scalar(next)!] = byte
                next += 1
            }
        }
        return map
    }()

    /// All bytes, then 150 000 pieces of letters, digits, punctuation, space and other scripts.
    static let synthetic: [[UInt8]] = {
        var texts: [[UInt8]] = [[]] + (UInt8.min...UInt8.max).map { [$0] }
        var random = Random(seed: 7)
        let letters = Array("etaoinshrdlucmfwypvbgkETAOIN".utf8),
            marks = Array("\"{}[]:,.;()\\/\n\t <>=".utf8)
        while texts.count < 150_000 {
            var text: [UInt8] = Int.random(in: 0..<3, using: &random) > 0 ? [0x20] : []
            switch Int.random(in: 0..<10, using: &random) {
            case 0:
                text += (0..<Int.random(in: 1..<6, using: &random)).map { _ in
                    marks.randomElement(using: &random)!
                }
            case 1:
                text += Array(
                    "漢字かな交じり文日本語中文".shuffled(using: &random).prefix(2).map(String.init).joined().utf8)
            default:
                text += (0..<Int.random(in: 2..<11, using: &random)).map { _ in
                    letters.randomElement(using: &random)!
                }
            }
            texts.append(text)
        }
        return texts
    }()

    static let cases: [(String, @Sendable () throws -> Grammar)] = [
        ("object of ten strings", { try Grammar(jsonSchema: record(fields: 10, ["type": "string"])) }),
        (
            "strings of at most 200 characters",
            { try Grammar(jsonSchema: record(fields: 5, ["type": "string", "maxLength": 200])) }
        ),
        (
            "numbers and enums",
            { try Grammar(jsonSchema: record(fields: 10, ["enum": ["red", "green", 1, 2.5]])) }
        ),
        (
            "list of integers 0 to 100",
            {
                try Grammar(jsonSchema: [
                    "items": ["type": "integer", "minimum": 0, "maximum": 100], "type": "array",
                    "minItems": 40,
                ])
            }
        ),
        ("any JSON object", { Grammar.jsonObject() }),
        ("regex [a-z0-9-]{3,40}", { try Grammar(regex: "[a-z0-9-]{3,40}") }),
        ("regex (.+\\n){3,20}", { try Grammar(regex: "(.+\\n){3,20}") }),
        (
            "string pattern and format",
            {
                try Grammar(
                    jsonSchema: record(
                        fields: 5,
                        [
                            "anyOf": [
                                ["type": "string", "pattern": "^[A-Z][a-z]+( [A-Z][a-z]+)*$"],
                                ["type": "string", "format": "date-time"],
                            ]
                        ]))
            }
        ),
        ("arithmetic grammar", { try Grammar(grammar: GrammarTests.arithmetic) }),
        ("choice of 1000", { try Grammar(choices: (0..<1000).map { "answer number \($0 * 7919 % 1000)" }) }),
        (
            "free text with calls",
            {
                try Grammar(
                    structure: .triggered(
                        by: ["<tool_call>"],
                        then: .sequence([
                            .literal("\n{\"name\": \"f\", \"arguments\": "),
                            .jsonSchema(record(fields: 5, ["type": "string"])), .literal("}\n</tool_call>"),
                        ]), never: [], isRepeated: true))
            }
        ),
        (
            "strings between tags",
            {
                let style = MemberStyle(
                    names: .betweenTags, beforeName: "<parameter=", afterName: ">\n",
                    afterValue: "\n</parameter>\n", separator: "", spelling: .betweenTags,
                    bareMembers: Set((0..<5).map { "field\($0)" }), bareEnd: "</parameter>")
                return try Grammar(structure: .members(record(fields: 5, ["type": "string"]), style))
            }
        ),
    ]

    static func record(fields: Int, _ schema: JSONValue) -> JSONValue {
        let names = (0..<fields).map { JSONKey("field\($0)") }
        return [
            "type": "object",
            "properties": .object(OrderedDictionary(uniqueKeysWithValues: names.map { ($0, schema) })),
            "required": .array(names.map { .string($0.string) }),
        ]
    }

    /// What masks of some answers cost, each in processor time.
    struct Cost {
        var masks: [Duration] = []
        var advancing = Duration.zero

        private var sorted: [Duration] { masks.sorted() }
        var mean: Duration { masks.reduce(.zero, +) / max(masks.count, 1) }

        /// The time that so many of a thousand masks take at most.
        func quantile(_ thousandths: Int) -> Duration {
            masks.isEmpty ? .zero : sorted[min(masks.count * thousandths / 1000, masks.count - 1)]
        }
    }

    static func microseconds(_ time: Duration) -> String { String(format: "%.1f", time / .microseconds(1)) }

    /// Ten answers of up to 200 tokens drawn at random.
    static func answers(_ grammar: CompiledGrammar, seed: Int) throws -> Cost {
        var (random, cost) = (Random(seed: seed), Cost())
        var mask = TokenMask(vocabularySize: tokens.vocabularySize)
        for _ in 0..<10 {
            var matcher = grammar.matcher()
            for step in 0..<200 where !matcher.mustEnd {
                cost.masks.append(try processorTime { try matcher.allowedTokens(into: &mask) })
                var choices = mask.tokens.filter { !tokens.endTokens.contains($0) }
                let closing = choices.filter { [0x22, 0x3C].contains(tokens.bytes[$0].first) }
                if step % 12 == 11, !closing.isEmpty { choices = closing }
                guard let token = choices.randomElement(using: &random) else { break }
                cost.advancing += processorTime { _ = matcher.advance(token) }
            }
        }
        return cost
    }

    /// The first answers under a constraint, then others under the same.
    @Test(arguments: cases.indices)
    func masksAreCheap(_ index: Int) throws {
        let (name, make) = Self.cases[index]
        let tokens = Self.tokens
        var grammar: CompiledGrammar?
        let compiling = try processorTime { grammar = try CompiledGrammar(make(), tokens: tokens) }
        let compiled = try #require(grammar)
        let first = try Self.answers(compiled, seed: index + 1)
        let later = try Self.answers(compiled, seed: index + 101)
        let columns = [
            compiling / 1000, first.mean, first.quantile(990), first.quantile(1000), later.quantile(500),
            later.mean,
            later.quantile(990), later.advancing / max(later.masks.count, 1),
        ]
        print(
            "| \(name) | \(first.masks.count) | " + columns.map(Self.microseconds).joined(separator: " | ")
                + " |")
        #expect(later.mean < .microseconds(100), "\(name): \(later.mean) a token")
        #expect(first.quantile(1000) < .milliseconds(20), "\(name): \(first.quantile(1000)) for one mask")
    }

    /// Each prefix of a text leads to a state of its own: masks stay affordable or are refused, none hangs.
    @Test(arguments: [".*a.{300}", "(.*a.{20}b){9}.*", "([^a]*a[^b]*b?){30}", "(.?e.?){0,200}(.{0,99}e){5}"])
    func refusesWhatMasksCannotAfford(_ pattern: String) throws {
        var random = Random(seed: 3)
        var worst = Duration.zero
        let error = code {
            var matcher: GrammarMatcher?
            worst = try ContinuousClock().measure {
                matcher = try CompiledGrammar(Grammar(regex: pattern), tokens: Self.tokens).matcher()
            }
            guard var matcher else { return }
            var mask = TokenMask(vocabularySize: 0)
            for _ in 0..<40 {
                worst = max(worst, try ContinuousClock().measure { try matcher.allowedTokens(into: &mask) })
                guard let token = mask.tokens.randomElement(using: &random) else { return }
                _ = matcher.advance(token)
            }
        }
        print("\(pattern): \(worst) \(error?.rawValue ?? "affordable")")
        #expect(error == nil || error == .tooComplex)
        #expect(worst < .seconds(1), "\(pattern) took \(worst)")
    }
}
