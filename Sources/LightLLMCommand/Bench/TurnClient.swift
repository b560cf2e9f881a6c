import AsyncHTTPClient
import Foundation
import JSON
import NIOCore
import NIOHTTP1
import OrderedCollections

/// The answer in one turn of a conversation.
struct TurnAnswer: Sendable, Equatable {
    let promptTokens: Int
    let tokens: [Int32]
    /// Seconds to the first token, and to the last.
    let firstToken: Double
    let latency: Double
}

/// The events of LightLLM's `/generate_stream`, timed as they come.
struct TurnRecord {
    private let sent: ContinuousClock.Instant
    private var lines = EventLines()
    private var tokens: [Int32] = []
    private var times: (first: ContinuousClock.Instant, last: ContinuousClock.Instant)?
    private var failure: LoadFailure?

    init(sent: ContinuousClock.Instant) { self.sent = sent }

    mutating func add(_ bytes: some Sequence<UInt8>, at now: ContinuousClock.Instant) {
        var events: [JSONValue?] = []
        lines.add(bytes) { events.append(try? JSONValue(parsing: Array($0))) }
        for event in events {
            guard let id = event?["token"]?["id"]?.int.flatMap({ Int32(exactly: $0) }) else {
                failure = failure ?? LoadFailure("expected a token, found \(event?.serialized ?? "no JSON")")
                continue
            }
            tokens.append(id)
            times = (times?.first ?? now, now)
        }
    }

    /// Throws when the answer is not whole.
    func answer(promptTokens: Int, newTokens: Int) throws(LoadFailure) -> TurnAnswer {
        if let failure { throw failure }
        guard tokens.count == newTokens, let times else {
            throw LoadFailure("expected \(newTokens) tokens, found \(tokens.count)")
        }
        return TurnAnswer(
            promptTokens: promptTokens, tokens: tokens,
            firstToken: (times.first - sent) / .seconds(1), latency: (times.last - sent) / .seconds(1))
    }
}

/// Sends turns to a LightLLM server.
struct TurnClient: Sendable {
    let http: HTTPClient
    let server: ServerAddress

    func send(_ prompt: [Int32], newTokens: Int) async throws -> TurnAnswer {
        let body: JSONValue = [
            "inputs": .array(prompt.map { .integer(Int($0)) }),
            "parameters": ["max_new_tokens": .integer(newTokens), "ignore_eos": true, "do_sample": false],
        ]
        var message = HTTPClientRequest(url: server.url("generate_stream"))
        message.method = .POST
        message.headers.add(name: "content-type", value: "application/json")
        message.body = .bytes(ByteBuffer(string: body.serialized))
        var record = TurnRecord(sent: .now)
        let response = try await http.execute(message, timeout: .hours(3))
        guard response.status == .ok else {
            let text = String(buffer: try await response.body.collect(upTo: 1 << 20))
            throw LoadFailure("status \(response.status.code): \(text.prefix(300))")
        }
        for try await part in response.body { record.add(part.readableBytesView, at: .now) }
        return try record.answer(promptTokens: prompt.count, newTokens: newTokens)
    }
}

/// What came of conversations, turn by turn.
struct TurnReport {
    let turns: [[TurnAnswer]]
    let seconds: Double

    private var requests: Int { turns.reduce(0) { $0 + $1.count } }
    private var outputTokens: Int { turns.joined().reduce(0) { $0 + $1.tokens.count } }

    private func figures(_ answers: [TurnAnswer]) -> (prompt: Double?, times: [Distribution]) {
        (
            Distribution(answers.map { Double($0.promptTokens) }).mean,
            [
                Distribution(answers.map { 1000 * $0.firstToken }),
                Distribution(answers.map { 1000 * $0.latency }),
            ]
        )
    }

    func json(_ model: String?) -> JSONValue {
        [
            "model": model.map { .string($0) } ?? .null, "requests": .integer(requests),
            "duration_s": JSONValue(rounding: seconds),
            "requests_per_s": JSONValue(rounding: Double(requests) / seconds),
            "output_tokens_per_s": JSONValue(rounding: Double(outputTokens) / seconds),
            "turns": .array(
                turns.map { answers in
                    let (prompt, times) = figures(answers)
                    var object: JSONValue.Members = [
                        "requests": .integer(answers.count), "prompt_tokens": JSONValue(rounding: prompt),
                    ]
                    for (key, values) in zip(["ttft_ms", "latency_ms"] as [JSONKey], times) {
                        object[key] = [
                            "mean": JSONValue(rounding: values.mean),
                            "p50": JSONValue(rounding: values.percentile(50)),
                            "p99": JSONValue(rounding: values.percentile(99)),
                        ]
                    }
                    return .object(object)
                }),
        ]
    }

    var text: String {
        let widths = [4, 13, 10, 10, 10, 12, 12, 12]
        let names = [
            "turn", "prompt tokens", "ttft mean", "median", "p99", "answer mean", "median",
            "p99",
        ]
        let rows = turns.enumerated().map { turn, answers in
            let (prompt, times) = figures(answers)
            let cells = times.flatMap { [$0.mean, $0.percentile(50), $0.percentile(99)] }
            return tableRow(
                ["\(turn + 1)", formatted(prompt, 1)] + cells.map { formatted($0, 1) },
                widths: widths)
        }
        return """
            \(requests) requests in \(formatted(seconds, 2)) s, \(formatted(Double(requests) / seconds, 2)) \
            requests/s, \(formatted(Double(outputTokens) / seconds, 2)) output tokens/s; times in milliseconds

            \(tableRow(names, widths: widths))
            \(rows.joined(separator: "\n"))
            """
    }
}
