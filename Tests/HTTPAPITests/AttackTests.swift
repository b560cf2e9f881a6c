import HTTPTypes
import HummingbirdTesting
import JSON
import LightLLM
import OrderedCollections
import Testing

@testable import HTTPAPI

/// Requests that have brought other servers down. Each gets its answer within a second, while others go on as if
/// nothing had been.
@Suite(.serialized) struct AttackTests {
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
                    switch path {
                    case completions: #"{"model":"tiny","prompt":"x","\#(field)":\#(value)}"#
                    case chat:
                        #"{"model":"tiny","messages":[{"role":"user","content":"x"}],"\#(field)":\#(value)}"#
                    default: #"{"inputs":"x","parameters":{"do_sample":true,"\#(field)":\#(value)}}"#
                    }
                }, allowed: allowed)
        }
    }

    private static let native = ["/generate", "/generate_stream"]
    private static let everywhere = [completions, chat] + native

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

    static let numbers: [Attack] = [
        ["100000", "0", "-1", "1.5", #""1""#, "true", "1e300"].flatMap { member("n", $0) },
        ["1000000000", "0", "-1", "true"].flatMap { member("best_of", $0, [completions] + native) },
        ["1000000", "-1", "21", "1.5"].flatMap { member("logprobs", $0, [completions]) },
        ["-1", "21", "1000000", "true"].flatMap { member("top_logprobs", $0, [chat]) },
        ["-1", "0", "9223372036854775808", "1e400", "NaN", "1.5", "true"].flatMap {
            member("max_tokens", $0) + member("max_new_tokens", $0, native)
        },
        ["-1", "1e-320", "1e308", "1e400", "NaN", "true"].flatMap {
            member("temperature", $0, everywhere)
        },
        ["0", "-1", "2", "1e-320"].flatMap { member("top_p", $0, everywhere) },
        ["2", "-0.1"].flatMap { member("min_p", $0, everywhere) },
        ["0", "-1", "1e308"].flatMap { member("repetition_penalty", $0, everywhere) },
        ["18446744073709551616", "1e300", "1.5", #""a""#].flatMap { member("seed", $0, everywhere) },
        member("seed", "-1", everywhere, allowed: [200]),
        member("n_discard", "-1", everywhere, allowed: [200]),
        [#"{"99999999":100}"#, #"{"-1":1}"#, #"{"x":1}"#, #"{"1":1e308}"#, "[1]"].flatMap {
            member("logit_bias", $0, everywhere)
        },
    ].flatMap { $0 }

    static let texts: [Attack] = [
        prompt("empty", #""""#, allowed: [200, 400]),
        prompt("no tokens", "[]"),
        [
            Attack(name: "no texts", path: completions, body: { #"{"prompt":[[]]}"# }),
            Attack(
                name: "an empty text", path: completions, body: { #"{"prompt":[""]}"# }, allowed: [200, 400]),
        ],
        ["[-1]", "[318]", "[4294967296]", "[1.5]", "[true]", "[9223372036854775808]"].flatMap {
            prompt("tokens \($0)", $0)
        },
        prompt("tokens of 100 contexts", "[" + String(repeating: "5,", count: 409_599) + "5]"),
        prompt("7 MB of words", text("a ", 7 << 20)),
        prompt("7 MB of one letter", text("a", 7 << 20)),
        prompt("1 MB of one letter", text("a", 1_000_000)),
        prompt("1 MB of joined emoji", text("👩‍👩‍👧‍👦", 1_000_000)),
        prompt("10 MB of one letter", text("a", 10 << 20), allowed: [413]),
        [
            Attack(
                name: "1 MB of one letter", path: "/tokenize",
                body: { #"{"prompt":\#(text("a", 1_000_000))}"# }, allowed: [200]),
            Attack(
                name: "7 MB of one letter", path: "/tokenize",
                body: { #"{"prompt":\#(text("a", 7 << 20))}"# }),
        ],
        everywhere.flatMap { path in
            let field = path.hasPrefix("/v1") ? "stop" : "stop_sequences"
            return [
                ("empty stops", #"["",""]"#, [200]), ("a lone surrogate", #""\ud800""#, [200]),
                ("10000 stops", "[" + String(repeating: #""a","#, count: 9999) + #""a"]"#, [400]),
                ("a stop of 7 MB", text("a", 7 << 20), [400]), ("a stop that is a number", "[1]", [400]),
            ].flatMap { name, value, allowed -> [Attack] in
                member(field, value, [path], allowed: Set(allowed)).map { attack in
                    Attack(name: name, path: path, body: attack.body, allowed: attack.allowed)
                }
            }
        },
        member(
            "logit_bias", "{" + (0..<400_000).map { #""\#($0)":1"# }.joined(separator: ",") + "}", everywhere),
    ].flatMap { $0 }

    static let documents: [Attack] = [
        raw("100000 brackets", { String(repeating: "[", count: 100_000) }),
        raw(
            "65 levels", { String(repeating: #"{"a":"#, count: 65) + "1" + String(repeating: "}", count: 65) }
        ),
        raw("a number of 5 MB", { #"{"prompt":"x","n":"# + String(repeating: "9", count: 5 << 20) + "}" }),
        raw("a fraction of 5 MB", { #"{"n":0."# + String(repeating: "9", count: 5 << 20) + "}" }),
        raw("an exponent of 5 MB", { #"{"n":1e"# + String(repeating: "9", count: 5 << 20) + "}" }),
        raw("NUL", { "\u{0}" }), raw("a NUL inside", { "{\"prompt\":\"a\u{0}b\"}" }),
        raw("cut short", { #"{"a":"# }), raw("nothing", { "" }),
        raw("two documents", { "{}{}" }), raw("no object", { "[1,2]" }),
        raw(
            "100000 members",
            {
                "{" + (0..<100_000).map { #""k\#($0)":0"# }.joined(separator: ",") + "}"
            }),
        [
            Attack(
                name: "the same member twice", path: completions,
                body: { #"{"prompt":"x","max_tokens":1,"max_tokens":2}"# }, allowed: [200]),
            Attack(
                name: "a byte order mark", path: completions,
                body: { "\u{FEFF}" + #"{"prompt":"x","max_tokens":1}"# }, allowed: [200]),
        ],
    ].flatMap { $0 }

    @Test func numbersOutOfRange() async throws { try await withstand(Self.numbers) }
    @Test func endlessTexts() async throws { try await withstand(Self.texts) }
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
        try await server.run { client in
            let request = #"{"inputs":"the slots","parameters":{"max_new_tokens":2000,"ignore_eos":true}}"#
            let undisturbed = try await client.postText("/generate_stream", request)
            #expect(undisturbed.status == .ok && undisturbed.text.contains(#""finished":true"#))
            let neighbour = Task {
                var answers = 0
                while !Task.isCancelled {
                    let answer = try await client.postText("/generate_stream", request).text
                    guard answer == undisturbed.text else { return (answers, false) }
                    answers += 1
                }
                return (answers, true)
            }
            for attack in attacks { try await withstand(attack, client) }
            neighbour.cancel()
            let (_, isSame) = try await neighbour.value
            #expect(isSame, "the answer beside the attacks changed")
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
