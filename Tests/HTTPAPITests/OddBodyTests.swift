import Foundation
import HTTPTypes
import HummingbirdTesting
import Testing

@testable import HTTPAPI

@Suite struct OddBodyTests {
    private static func chat(_ messages: String, _ more: String = "") -> String {
        rawPost(
            "/v1/chat/completions", #"{"model": "tiny", "max_tokens": 1\#(more), "messages": [\#(messages)]}"#
        )
    }

    private static let user = #"{"role": "user", "content": "a"}"#
    private static let long = String(repeating: "u", count: 1 << 20)

    /// What is sent, and the status that it gets.
    private static let bodies: [(String, Int)] = [
        (chat(Array(repeating: user, count: 4000).joined(separator: ",")), 400),
        (chat(#"{"role": "system2", "content": "a"}"#), 400),
        (chat(#"{"role": "user", "content": null}"#), 400),
        (chat(#"{"role": "user", "content": [{"type": "hologram"}]}"#), 400),
        (
            chat(
                user
                    + #", {"role": "assistant", "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{"}}]}"#
            ), 400
        ),
        (chat(user, #", "user": "\#(long)", "metadata": {"a": "\#(long)"}"#), 200),
        (rawPost("/generate", String(repeating: "[", count: 100_000)), 400),
        (
            rawPost(
                "/generate",
                #"{"inputs": "a", "parameters": {"seed": \#(String(repeating: "9", count: 1 << 20))}}"#), 400
        ),
        (rawPost("/generate", #"{"inputs": "#), 400), (rawPost("/generate", "\u{0}"), 400),
        (rawPost("/generate", "\u{feff}{"), 400),
    ]

    @Test func oddBodiesAreRefusedAndNobodyElseNotices() async throws {
        let log = LogCollector()
        try await TestServer(slots: 8192, longest: 512).run(logger: log.logger) { _ in
        } _: { client in
            let port = try #require(client.port)
            try await undisturbed(port) {
                for (request, status) in Self.bodies {
                    let start = ContinuousClock.now
                    let received = try await RawConnection.exchange(port, request)
                    #expect(
                        received.status == status, "\(received.text.prefix(300)) for \(request.prefix(200))")
                    #expect(ContinuousClock.now - start < .seconds(2), "\(request.prefix(200))")
                }
            }
            #expect(log.lines.allSatisfy { $0.utf8.count < 2000 })
        }
    }
}
