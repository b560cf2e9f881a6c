import HTTPTypes
import Hummingbird
import HummingbirdTesting
import JSON
import Logging
import OrderedCollections
import Synchronization
import Testing

@testable import HTTPAPI

/// Keeps what is logged.
final class LogCollector: Sendable {
    private let collected = Mutex<[String]>([])
    var lines: [String] { collected.withLock { $0 } }

    struct Handler: LogHandler {
        let collector: LogCollector
        var metadata: Logger.Metadata = [:]
        var logLevel = Logger.Level.info
        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }

        func log(event: LogEvent) {
            let metadata = (event.metadata ?? [:]).map { " \($0.key)=\($0.value)" }.joined()
            collector.collected.withLock { $0.append("\(event.message)\(metadata)") }
        }
    }

    var logger: Logger { Logger(label: "test") { _ in Handler(collector: self) } }

    /// The first line with `text`, which may take a moment to come.
    func line(with text: String) async throws -> String? {
        for _ in 0..<200 {
            if let line = lines.first(where: { $0.contains(text) }) { return line }
            try await Task.sleep(for: .milliseconds(10))
        }
        return nil
    }
}

@Suite struct LogTests {
    @Test func everyRequestGetsALine() async throws {
        let log = LogCollector()
        try await TestServer().run(logger: log.logger) {
            $0.keys = APIKeys(["sesame"])
        } _: { client in
            let port = try #require(client.port)
            func headers(_ id: String) -> String {
                "X-Request-Id: \(id)\r\nX-Session-Id: sitting\r\nAuthorization: Bearer sesame\r\nConnection: close\r\n"
            }
            let body =
                #"{"inputs": "private words", "parameters": {"max_new_tokens": 3, "ignore_eos": true}}"#
            let answer = try await RawConnection.exchange(
                port, rawPost("/generate?key=sesame", body, headers: headers("whole")))
            #expect(answer.status == 200 && answer.text.lowercased().contains("x-request-id: whole\r\n"))
            let whole = try #require(try await log.line(with: "whole"))
            #expect(
                whole.hasPrefix(
                    "POST /generate 200 X-Request-Id:whole X-Session-Id:sitting first_token_cost:"))
            #expect(whole.contains("out_token_counter:3 ") && whole.contains("prompt_cache_len:0"))
            let stream = try await RawConnection.exchange(
                port, rawStream(4, headers: headers("parts")))
            #expect(stream.text.lowercased().contains("x-request-id: parts\r\n"))
            let parts = try #require(try await log.line(with: "parts"))
            #expect(parts.contains("/generate_stream 200") && parts.contains("prompt_token_num:3 "))
            #expect(parts.contains("out_token_counter:4 "))
            let refused = try await RawConnection.exchange(
                port,
                rawPost(
                    "/generate", #"{"inputs": "\u001b[31m\n[ERROR] fake", "parameters": 3}"#,
                    headers: headers("bad")))
            #expect(refused.status == 400 && refused.text.lowercased().contains("x-request-id: bad\r\n"))
            let strange = try await RawConnection.exchange(
                port, "GET /%0a[ERROR]%1b[31m\u{e9} HTTP/1.1\r\nHost: localhost\r\n\(headers("odd id"))\r\n")
            #expect(strange.text.lowercased().contains("x-request-id: ") && !strange.text.contains("odd id"))
            _ = try await log.line(with: "bad")
            for line in log.lines {
                #expect(!line.contains("sesame") && !line.contains("private"), "\(line)")
                #expect(line.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.value < 0x7F }, "\(line)")
            }
        }
    }

    private static func beginAndLeave(_ port: Int) async throws {
        let connection = try RawConnection(port: port)
        try await connection.send(rawStream(8000, headers: "X-Request-Id: gone\r\n"))
        _ = try await connection.read { $0.contains("data:") }
    }

    @Test func clientsThatLeaveAreLogged() async throws {
        let log = LogCollector()
        try await TestServer(slots: 1 << 16, longest: 9000).run(logger: log.logger) { _ in
        } _: { client in
            try await Self.beginAndLeave(try #require(client.port))
            // The server must be there to notice.
            let line = try #require(try await log.line(with: "X-Request-Id:gone"))
            #expect(line.contains("/generate_stream aborted"))
        }
    }

    @Test func textsAreEscaped() {
        #expect(LogText.escaped("a\nb\u{1b}[1mé", limit: 99) == "a\\u{a}b\\u{1b}[1m\\u{e9}")
        #expect(LogText.escaped("abcdef", limit: 3) == "abc…")
    }

    @Test func modelNamesAreEscapedInMetrics() async throws {
        try await TestServer().run {
            $0.modelName = "a\"} 1\nvllm:evil{x=\"\\"
        } _: { client in
            let injected = #"{"model": "b\"} 1\n", "prompt": [5], "max_tokens": 1}"#
            _ = try await client.postText("/v1/completions", injected)
            let text = try await client.get("/metrics").text
            #expect(!text.contains("\nvllm:evil") && !text.contains("b\\\""))
            #expect(text.contains(#"model_name="a\"} 1\nvllm:evil{x=\"\\",engine="0""#))
        }
    }
}
