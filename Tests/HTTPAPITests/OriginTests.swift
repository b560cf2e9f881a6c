import HTTPTypes
import Hummingbird
import HummingbirdTesting
import Testing

@testable import HTTPAPI

@Suite struct OriginTests {
    private func request(
        _ client: any TestClientProtocol, host: String = "localhost", _ headers: String = "",
        method: String = "GET"
    ) async throws -> RawConnection.Received {
        try await RawConnection.exchange(
            try #require(client.port),
            "\(method) /v1/models HTTP/1.1\r\nHost: \(host)\r\nConnection: close\r\n\(headers)\r\n")
    }

    @Test func pagesOfOthersMayNotAskALocalServer() async throws {
        try await TestServer().run {
            $0.crossOrigin.allowedHosts = ["chat.example"]
        } _: { client in
            for host in [
                "localhost", "localhost:8000", "127.0.0.1:1", "127.1.2.3", "[::1]:80", "LOCALHOST",
                "chat.example",
            ] {
                #expect(try await request(client, host: host).status == 200, "\(host)")
            }
            for host in [
                "evil.com", "localhost.evil.com", "127.0.0.1.evil.com", "evil.com:8000", "127.0.0.1x",
            ] {
                #expect(try await request(client, host: host).status == 403, "\(host)")
            }
            for origin in ["http://localhost:3000", "http://127.0.0.1", "https://chat.example"] {
                #expect(try await request(client, "Origin: \(origin)\r\n").status == 200, "\(origin)")
            }
            for origin in ["http://evil", "null", "http://localhost.evil", "https://chat.example.evil"] {
                #expect(try await request(client, "Origin: \(origin)\r\n").status == 403, "\(origin)")
            }
            let answer = try await request(client, "Origin: http://localhost:3000\r\n")
            #expect(!answer.text.lowercased().contains("access-control"), "not without being told")
        }
    }

    @Test func keysDoWhatNamesDid() async throws {
        try await TestServer().run {
            $0.keys = APIKeys(["secret"])
        } _: { client in
            let key = "Authorization: Bearer secret\r\n"
            let known = try await request(client, host: "evil.com", key)
            let unknown = try await request(client, host: "evil.com")
            #expect(known.status == 200 && unknown.status == 401)
        }
    }

    @Test func namedOriginsMayAsk() async throws {
        try await TestServer().run {
            ($0.crossOrigin.allowedOrigins, $0.keys) = (["https://chat.example"], APIKeys(["secret"]))
        } _: { client in
            let origin = "Origin: https://chat.example\r\n"
            let preflight =
                "Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: authorization, x-foo\r\n"
            let allowed = try await request(client, origin + preflight, method: "OPTIONS")
            #expect(allowed.status == 204)
            let text = allowed.text.lowercased()
            #expect(text.contains("access-control-allow-origin: https://chat.example\r\n"))
            #expect(text.contains("access-control-allow-headers: authorization, x-foo\r\n"))
            #expect(text.contains("access-control-allow-methods: get, post"))
            let answer = try await request(client, origin + "Authorization: Bearer secret\r\n")
            #expect(answer.status == 200)
            #expect(
                answer.text.lowercased().contains("access-control-allow-origin: https://chat.example\r\n"))
            let keyless = try await request(client, origin)
            #expect(
                keyless.status == 401 && keyless.text.lowercased().contains("access-control-allow-origin"))
            let evil = "Origin: https://evil.example\r\n"
            #expect(try await request(client, evil + preflight, method: "OPTIONS").status == 403)
            let other = try await request(client, evil + "Authorization: Bearer secret\r\n")
            #expect(!other.text.lowercased().contains("access-control"))
        }
    }

    @Test func allOriginsMayBeAllowed() async throws {
        try await TestServer().run {
            $0.crossOrigin.allowedOrigins = ["*"]
        } _: { client in
            let answer = try await request(client, "Origin: https://anything\r\n")
            #expect(answer.status == 200)
            #expect(answer.text.lowercased().contains("access-control-allow-origin: *\r\n"))
            #expect(try await request(client, host: "evil.com").status == 403, "a name is still no origin")
        }
    }
}
