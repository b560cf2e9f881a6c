import HTTPTypes
import HummingbirdTesting
import JSON
import LightLLM
import NIOCore
import OrderedCollections
import Testing

@testable import HTTPAPI

/// Requests that have brought other servers down. Each gets its answer within a second, while others go on as if
/// nothing had been.
@Suite(.serialized) struct ParameterAttackTests {
    struct Attack: CustomTestStringConvertible, Sendable {
        let name: String
        let path: String
        let body: @Sendable () -> String
        var allowed: Set<Int> = [400]

        var testDescription: String { "\(path) \(name)" }
    }

    private static let completions = "/v1/completions"
    private static let chat = "/v1/chat/completions"

    /// Members beside a prompt, on every route that takes the field.
    private static func member(
        _ field: String, _ value: String, _ paths: [String] = [completions, chat], allowed: Set<Int> = [400]
    ) -> [Attack] {
        paths.map { path in
            Attack(
                name: "\(field): \(value.prefix(40))", path: path,
                body: {
                    // Those that are let through shall not take long.
                    let length = field == "max_tokens" ? "" : #","max_tokens":1"#
                    return switch path {
                    case completions: #"{"prompt":"x","\#(field)":\#(value)\#(length)}"#
                    case chat:
                        #"{"messages":[{"role":"user","content":"x"}],"\#(field)":\#(value)\#(length)}"#
                    default: #"{"inputs":"x","parameters":{"do_sample":true,"\#(field)":\#(value)}}"#
                    }
                }, allowed: allowed)
        }
    }

    private static let native = ["/generate", "/generate_stream"]
    private static let openAI = [completions, chat]
    private static let everywhere = openAI + native

    private static func prompt(
        _ name: String, _ text: @autoclosure @escaping @Sendable () -> String, allowed: Set<Int> = [400]
    ) -> [Attack] {
        [
            Attack(
                name: name, path: completions, body: { #"{"prompt":\#(text()),"max_tokens":1}"# },
                allowed: allowed),
            Attack(name: name, path: "/generate", body: { #"{"inputs":\#(text())}"# }, allowed: allowed),
        ]
    }

    private static func text(_ unit: String, _ bytes: Int) -> String {
        "\"" + String(repeating: unit, count: bytes / unit.utf8.count) + "\""
    }

    private static func raw(
        _ name: String, _ body: @escaping @Sendable () -> String, allowed: Set<Int> = [400]
    )
        -> [Attack]
    {
        ([completions, chat, "/generate", "/tokenize", "/tokens"]).map {
            Attack(name: name, path: $0, body: body, allowed: allowed)
        }
    }

    /// A field, what it may not be, and where.
    private static let badNumbers: [(field: String, values: [String], paths: [String])] = [
        ("n", ["100000", "0", "-1", "1.5", #""1""#, "true", "1e300"], openAI),
        ("best_of", ["1000000000", "0", "-1", "true"], [completions] + native),
        ("logprobs", ["1000000", "-1", "21", "1.5"], [completions]),
        ("top_logprobs", ["-1", "21", "1000000", "true"], [chat]),
        ("max_tokens", lengths, openAI), ("max_new_tokens", lengths, native),
        ("temperature", ["-1", "1e-320", "1e308", "1e400", "NaN", "true"], everywhere),
        ("top_p", ["0", "-1", "2", "1e-320"], everywhere), ("min_p", ["2", "-0.1"], everywhere),
        ("repetition_penalty", ["0", "-1", "1e308"], everywhere),
        ("seed", ["18446744073709551616", "1e300", "1.5", #""a""#], everywhere),
        (
            "logit_bias",
            [#"{"99999999":100}"#, #"{"-1":1}"#, #"{"x":1}"#, #"{"1":1e308}"#, "[1]", manyBiases], everywhere
        ),
    ]
    private static let lengths = ["-1", "0", "9223372036854775808", "1e400", "NaN", "1.5", "true"]
    private static let manyBiases =
        "{" + (0..<400_000).map { "\"\($0)\":1" }.joined(separator: ",") + "}"

    static let numbers: [Attack] =
        badNumbers.flatMap { row in row.values.flatMap { member(row.field, $0, row.paths) } }
        + member("seed", "-1", everywhere, allowed: [200])
        + member("n_discard", "-1", everywhere, allowed: [200])

    private static let badTokens = [
        "[]", "[-1]", "[318]", "[4294967296]", "[1.5]", "[true]", "[9223372036854775808]",
        "[" + String(repeating: "5,", count: 409_599) + "5]",
    ]
    private static let longTexts: [(name: String, unit: String, bytes: Int, status: Int)] = [
        ("7 MB of words", "a ", 7 << 20, 400), ("7 MB of one letter", "a", 7 << 20, 400),
        ("1 MB of one letter", "a", 1_000_000, 400),
        ("1 MB of joined emoji", "\u{1F469}\u{200D}\u{1F469}\u{200D}\u{1F467}", 1_000_000, 400),
        ("10 MB of one letter", "a", 10 << 20, 400),
    ]

    static let prompts: [Attack] =
        badTokens.flatMap { prompt("tokens \($0.prefix(40))", $0) }
        + longTexts.flatMap { prompt($0.name, text($0.unit, $0.bytes), allowed: [$0.status]) }
        + prompt("empty", "\"\"", allowed: [200, 400])
        + [
            Attack(name: "no texts", path: completions, body: { #"{"prompt":[[]]}"# }),
            Attack(
                name: "an empty text", path: completions, body: { #"{"prompt":[""]}"# }, allowed: [200, 400]),
            Attack(
                name: "1 MB of one letter", path: "/tokenize",
                body: { #"{"prompt":\#(text("a", 1_000_000))}"# }, allowed: [200]),
            Attack(
                name: "7 MB of one letter", path: "/tokenize",
                body: { #"{"prompt":\#(text("a", 7 << 20))}"# }),
        ]

    private static let badStops: [(value: String, status: Int)] = [
        (#"["",""]"#, 200), (#""\ud800""#, 200), (text("a", 7 << 20), 400), ("[1]", 400), ("5", 400),
        ("[" + String(repeating: #""a","#, count: 9999) + #""a"]"#, 400),
    ]

    static let stops: [Attack] = badStops.flatMap { value, status in
        member("stop", value, openAI, allowed: [status])
            + member("stop_sequences", value, native, allowed: [status])
    }

    static let documents: [Attack] =
        raw("100000 brackets") { String(repeating: "[", count: 100_000) }
        + raw("65 levels") {
            String(repeating: #"{"a":"#, count: 65) + "1" + String(repeating: "}", count: 65)
        }
        + raw("a number of 5 MB") { #"{"n":"# + String(repeating: "9", count: 5 << 20) + "}" }
        + raw("a fraction of 5 MB") { #"{"n":0."# + String(repeating: "9", count: 5 << 20) + "}" }
        + raw("an exponent of 5 MB") { #"{"n":1e"# + String(repeating: "9", count: 5 << 20) + "}" }
        + raw("100000 members") {
            "{" + (0..<100_000).map { "\"k\($0)\":0" }.joined(separator: ",") + "}"
        }
        + ["\u{0}", "{\"prompt\":\"a\u{0}b\"}", #"{"a":"#, "", "{}{}", "[1,2]"].flatMap { text in
            raw("broken") { text }
        }
        + [
            Attack(
                name: "the same member twice", path: completions,
                body: { #"{"prompt":"x","max_tokens":1,"max_tokens":2}"# }, allowed: [200]),
            Attack(
                name: "a byte order mark", path: completions,
                body: { "\u{FEFF}" + #"{"prompt":"x","max_tokens":1}"# }, allowed: [200]),
        ]

    @Test func numbersOutOfRange() async throws { try await withstand(Self.numbers) }
    @Test func endlessPrompts() async throws { try await withstand(Self.prompts) }
    @Test func endlessStops() async throws { try await withstand(Self.stops) }
    @Test func brokenDocuments() async throws { try await withstand(Self.documents) }

    @Test func textThatIsNoUTF8() async throws {
        try await TestServer().run { client in
            for bytes: [UInt8] in [
                [0xFF], [0x7B, 0x22, 0xC3, 0x28, 0x22, 0x3A, 0x31, 0x7D], [0xED, 0xA0, 0x80],
            ] {
                try await client.execute(uri: "/generate", method: .post, body: .init(bytes: bytes)) {
                    #expect($0.status == .badRequest)
                }
            }
        }
    }

    /// Makes the attacks one after the other, while a stream is always being answered.
    private func withstand(_ attacks: [Attack]) async throws {
        let server = try TestServer(slots: 16_384, longest: 4096)
        try await server.run(over: .ahc(), { $0.limits.largestBody = 16 << 20 }) { client in
            let request = #"{"inputs":"the slots","parameters":{"max_new_tokens":2000,"ignore_eos":true}}"#
            let undisturbed = try await client.postText("/generate_stream", request)
            #expect(undisturbed.status == .ok && undisturbed.text.contains(#""finished":true"#))
            let siege = Siege()
            async let neighbour = {
                var answers: Set<String> = []
                while await siege.lasts {
                    answers.insert(try await client.postText("/generate_stream", request).text)
                }
                return answers
            }()
            for attack in attacks { try await withstand(attack, client) }
            await siege.end()
            #expect(try await neighbour == [undisturbed.text], "the answer beside the attacks changed")
        }
    }

    private func withstand(_ attack: Attack, _ client: any TestClientProtocol) async throws {
        let body = attack.body()
        // A busy machine may take a second for nothing; not three times in a row.
        var durations: [Duration] = []
        for _ in 0..<3 {
            let start = ContinuousClock.now
            let (status, text) = try await client.postText(attack.path, body)
            durations.append(.now - start)
            #expect(
                attack.allowed.contains(status.code),
                "\(attack.testDescription): \(status) \(text.prefix(200))")
            if status.code >= 400 {
                let message = try JSONValue(parsing: text)["error"]?["message"]?.string ?? ""
                #expect(
                    !message.isEmpty && message.utf8.count < 1000,
                    "\(attack.testDescription): \(text.prefix(200))")
            }
            guard let last = durations.last, last >= .seconds(1) else { return }
        }
        Issue.record("\(attack.testDescription) took \(durations)")
    }
}

/// Whether there are attacks to come.
private actor Siege {
    private(set) var lasts = true
    func end() { lasts = false }
}
