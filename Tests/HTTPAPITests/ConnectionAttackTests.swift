import Foundation
import HTTPTypes
import HummingbirdTesting
import Serving
import Testing
import TextGeneration

@testable import HTTPAPI

@Suite struct ConnectionAttackTests {
    private func port(_ client: any TestClientProtocol) throws -> Int { try #require(client.port) }

    private static func get(_ path: String, _ headers: String = "", method: String = "GET") -> String {
        "\(method) \(path) HTTP/1.1\r\nHost: localhost\r\n\(headers)\r\n"
    }

    private static func post(_ headers: String, _ body: String = "{}") -> String {
        "POST /generate HTTP/1.1\r\nHost: localhost\r\n\(headers)\r\n\(body)"
    }

    /// What is sent, and the status that it gets.
    private static let attacks: [(String, Int)] = [
        (post("Content-Length: 2147483648\r\n", "{"), 413),
        (post("Transfer-Encoding: chunked\r\n", "FFFFFFFFFFFFFFFFF\r\n{"), 400),
        (post("Transfer-Encoding: chunked\r\n", "zz\r\n{"), 400),
        (post("Transfer-Encoding: chunked\r\n", "80000\r\n" + String(repeating: " ", count: 0x80000)), 413),
        (post("Transfer-Encoding: chunked\r\nContent-Length: 2\r\n"), 400),
        (post("Content-Length: 2\r\nTransfer-Encoding: chunked\r\n"), 400),
        (post("Content-Length: 2\r\nContent-Length: 2\r\n"), 400),
        (post("Content-Length: 2\r\nContent-Length: 3\r\n"), 400),
        (post("Content-Length: +2\r\n"), 400), (post("Content-Length: -2\r\n"), 400),
        (post("Content-Length: 99999999999999999999\r\n"), 400),
        (post("Transfer-Encoding: gzip\r\n"), 501),
        (post("Transfer-Encoding : chunked\r\n"), 400),
        (post("Content-Encoding: gzip\r\nContent-Length: 2\r\n"), 415),
        (post("Expect: coffee\r\nContent-Length: 2\r\n"), 417),
        (get("/liveness", "X-A: 1\r\n  folded\r\n"), 400),
        (get("/liveness", "X-A: a\u{0}b\r\n"), 400), (get("/liveness", "X A: 1\r\n"), 400),
        ("GET /liveness HTTP/1.1\nHost: localhost\nX-A: 1\n\n", 400),
        (get("/liveness", "X-A: \(String(repeating: "a", count: 1 << 20))\r\n"), 431),
        (get("/liveness", (0..<10_000).map { "X-\($0): 1\r\n" }.joined()), 431),
        (get("/" + String(repeating: "a", count: 1 << 20)), 414),
        (get("/" + String(repeating: "a", count: 10_000)), 414),
        ("GET /liveness HTTP/1.1\r\n\r\n", 400), (get("/liveness", "Host: other\r\n"), 400),
        ("GET /liveness HTTP/3.7\r\nHost: localhost\r\n\r\n", 400),
        ("\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\u{0}\r\n\r\n", 400), ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (get("/liveness", method: "TRACE"), 405),
        ("CONNECT localhost:1 HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
        (get("/liveness", "Connection: close\r\n", method: "OPTIONS"), 405),
        (get("/generate", "Connection: close\r\n", method: "DELETE"), 405),
        (get("/nothing", "Connection: close\r\n", method: "OPTIONS"), 404),
    ]

    @Test func whateverIsWrongIsSaidAndTheConnectionEnds() async throws {
        try await TestServer(slots: 8192, longest: 512).run {
            $0.limits.largestBody = 1 << 16
        } _: { client in
            let port = try port(client)
            try await undisturbed(port) {
                for (request, status) in Self.attacks {
                    let start = ContinuousClock.now
                    let received = try await RawConnection.exchange(port, request)
                    #expect(
                        received.status == status && received.isClosed,
                        "\(received.text.prefix(200)) for \(request.prefix(120))")
                    // A second for the answer, and the one that the client has to read it.
                    #expect(ContinuousClock.now - start < .seconds(2), "\(request.prefix(120))")
                    #expect(received.text.contains("\"error\""), "\(request.prefix(120))")
                }
            }
        }
    }

    @Test func pathsAreWhatTheySay() async throws {
        try await TestServer().run { client in
            let port = try port(client)
            for path in [
                "/ui/..%2f..%2fetc/passwd", "//", "/%00", "/v1/models/../../x", "//liveness", "/./liveness",
                "/v1//models", "/liveness/%2e%2e/metrics", "/v1/models/..%2Fx", "/%", "/%zz", "/a%5C..%5Cb",
                "/nothing",
            ] {
                let received = try await RawConnection.exchange(
                    port, Self.get(path, "Connection: close\r\n"))
                #expect(received.status == 404, "\(path): \(received.text.prefix(80))")
            }
        }
    }

    @Test func slowSendersAreCutOff() async throws {
        try await TestServer(slots: 8192, longest: 512).run {
            ($0.limits.headTimeout, $0.limits.bodyTimeout) = (.milliseconds(200), .milliseconds(200))
        } _: { client in
            let port = try port(client)
            try await undisturbed(port) {
                for start in [
                    "GET /live", "GET /liveness HTTP/1.1\r\nHost: localhost\r\nX-A: ",
                    Self.post("Content-Length: 100\r\n"),
                    Self.post("Transfer-Encoding: chunked\r\n", "FFFFFFFFFFFFFFFF\r\n"),
                ] {
                    let connection = try RawConnection(port: port)
                    try await connection.send(start)
                    let trickle = Task {
                        while !Task.isCancelled {
                            try await Task.sleep(for: .milliseconds(50))
                            try await connection.send("a")
                        }
                    }
                    let received = try await connection.read()
                    trickle.cancel()
                    #expect(received.status == 408 && received.isClosed, "\(start): \(received.text)")
                }
                let silent = try await RawConnection(port: port).read()
                #expect(silent.isClosed && silent.text.isEmpty)
            }
        }
    }

    @Test func idleConnectionsEnd() async throws {
        try await TestServer().run {
            $0.limits.idleTimeout = .milliseconds(150)
        } _: { client in
            let connection = try RawConnection(port: try port(client))
            try await connection.send(Self.get("/liveness"))
            let received = try await connection.read()
            #expect(received.status == 200 && received.isClosed)
        }
    }

    @Test func clientsThatDoNotReadAreLeft() async throws {
        let server = try TestServer(slots: 1 << 16, longest: 5000)
        try await server.run {
            $0.limits.writeTimeout = .milliseconds(200)
        } _: { client in
            let port = try port(client)
            var connections: [RawConnection] = []
            for _ in 0..<8 {
                let connection = try RawConnection(port: port, receiveBuffer: 4096)
                try await connection.send(rawStream(4000))
                connections.append(connection)
            }
            let end = ContinuousClock.now + .seconds(15)
            var statistics = server.generator.engine.statistics
            while statistics.cancelledRequests < 8, ContinuousClock.now < end {
                try await Task.sleep(for: .milliseconds(20))
                statistics = server.generator.engine.statistics
            }
            #expect(statistics.cancelledRequests == 8 && statistics.running == 0)
            #expect(connections.count == 8)
        }
    }

    @Test func connectionsBeyondTheLimitWait() async throws {
        try await TestServer().run {
            ($0.limits.connections, $0.limits.headTimeout) = (16, .milliseconds(300))
        } _: { client in
            let port = try port(client)
            let idle = try (0..<60).map { _ in try RawConnection(port: port) }
            let received = try await RawConnection.exchange(
                port, Self.get("/liveness", "Connection: close\r\n"))
            #expect(received.status == 200, "once the silent ones are gone")
            #expect(idle.count == 60)
        }
    }
}

@Suite struct ProtocolTests {
    private func port(_ client: any TestClientProtocol) throws -> Int { try #require(client.port) }

    @Test func severalRequestsAtOnceAreAnsweredInOrder() async throws {
        try await TestServer().run { client in
            let requests =
                rawPost("/tokens", #"{"text": "a"}"#, headers: "X-Request-Id: first\r\n")
                + "GET /liveness HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: second\r\n\r\n"
                + rawStream(3, headers: "X-Request-Id: third\r\nConnection: close\r\n")
            let received = try await RawConnection.exchange(try port(client), requests)
            let places = ["first", "second", "third"].compactMap { received.text.range(of: $0)?.lowerBound }
            #expect(places.count == 3 && places == places.sorted() && received.isClosed)
            #expect(received.events.count == 3)
        }
    }

    @Test func bodiesMayWaitForAWord() async throws {
        try await TestServer().run { client in
            let connection = try RawConnection(port: try port(client))
            let body = #"{"text": "a"}"#
            try await connection.send(
                "POST /tokens HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nConnection: close\r\nContent-Length: \(body.utf8.count)\r\n\r\n"
            )
            let word = try await connection.read { $0.hasSuffix("\r\n\r\n") }
            #expect(word.status == 100)
            try await connection.send(body)
            let answer = try await connection.read()
            #expect(answer.status == 200 && answer.text.contains("ntokens"))
        }
    }

    @Test func oldClientsGetPlainStreams() async throws {
        try await TestServer().run { client in
            let request = rawStream(3, headers: "").replacing("HTTP/1.1", with: "HTTP/1.0")
            let received = try await RawConnection.exchange(try port(client), request)
            #expect(received.status == 200 && received.isClosed)
            #expect(!received.text.lowercased().contains("transfer-encoding"))
            let body = try #require(received.text.range(of: "\r\n\r\n")).upperBound
            #expect(received.text[body...].hasPrefix("data:"))
        }
    }

    @Test func headAnswersHaveNoBody() async throws {
        try await TestServer().run { client in
            for path in ["/liveness", "/health", "/v1/models", "/metrics"] {
                let received = try await RawConnection.exchange(
                    try port(client),
                    "HEAD \(path) HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
                    within: .seconds(10))
                #expect(received.status == 200 && received.text.hasSuffix("\r\n\r\n"), "\(received.text)")
                #expect(received.text.components(separatedBy: "\r\n\r\n").count == 2, "\(received.text)")
            }
        }
    }

    @Test func quietStreamsAreKeptAlive() async throws {
        // One runs at a time, so the second waits for the first.
        try await TestServer(slots: 1 << 16, runningRequests: 1, longest: 4000).run {
            $0.limits.keepAliveInterval = .milliseconds(20)
        } _: { client in
            let port = try port(client)
            let first = try RawConnection(port: port)
            try await first.send(rawStream(3000))
            _ = try await first.read { $0.contains("data:") }
            let body = #"{"model": "tiny", "prompt": [5, 6], "max_tokens": 2, "stream": true}"#
            async let openAI = RawConnection.exchange(
                port, rawPost("/v1/completions", body), within: .seconds(20))
            async let native = RawConnection.exchange(port, rawStream(2), within: .seconds(20))
            let (commented, plain, _) = (
                try await openAI, try await native, try await first.read(within: .seconds(20))
            )
            #expect(commented.text.contains(": keep-alive") && commented.text.contains("[DONE]"))
            #expect(
                commented.text.contains("X-Accel-Buffering: no")
                    || commented.text.contains("x-accel-buffering: no"))
            #expect(!plain.text.contains("keep-alive\n") && plain.events.count == 2)
        }
    }
}
