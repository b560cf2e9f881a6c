import AsyncHTTPClient
import Foundation
import Hummingbird
import HummingbirdTesting
import NIOCore
import NIOHTTP1
import NIOSSL
import Testing

@testable import HTTPAPI

@Suite struct TLSTests {
    /// Writes a certificate for this computer and its key; skips nothing: the program comes with the system.
    private func makeCertificate(in folder: URL) throws -> (certificate: String, key: String) {
        let (certificate, key) = (folder.path + "/cert.pem", folder.path + "/key.pem")
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments =
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -out \(certificate) -keyout \(key)"
            .split(separator: " ").map(String.init)
        process.standardError = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else { throw TestFailure(message: "openssl failed") }
        return (certificate, key)
    }

    @Test func answersAreEncrypted() async throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let files = try makeCertificate(in: folder)
        let test = try TestServer()
        var configuration = Server.Configuration()
        (configuration.port, configuration.modelName) = (0, "tiny")
        configuration.limits.headTimeout = .milliseconds(500)
        configuration.tls = try TLSIdentity(certificates: files.certificate, key: files.key)
        let server = Server(test.generator, configuration: configuration, logger: TestServer.quietLogger)
        let (stops, stop) = AsyncStream.makeStream(of: Void.self)
        let (ports, started) = AsyncStream.makeStream(of: Int.self)
        let end = Task { try await server.run(stops: stops) { started.yield($0) } }
        for await port in ports {
            var trust = TLSConfiguration.makeClientConfiguration()
            trust.trustRoots = .certificates(try NIOSSLCertificate.fromPEMFile(files.certificate))
            let client = HTTPClient(configuration: HTTPClient.Configuration(tlsConfiguration: trust))
            var request = HTTPClientRequest(url: "https://localhost:\(port)/v1/completions")
            request.method = .POST
            request.body = .bytes(
                ByteBuffer(
                    string:
                        #"{"model": "tiny", "prompt": [5], "max_tokens": 3, "ignore_eos": true, "stream": true}"#
                ))
            let response = try await client.execute(request, timeout: .seconds(10))
            let text = String(buffer: try await response.body.collect(upTo: 1 << 20))
            #expect(response.status == .ok && text.hasSuffix("data: [DONE]\n\n"))
            let plain = try await RawConnection.exchange(
                port, "GET /liveness HTTP/1.1\r\nHost: localhost\r\n\r\n")
            #expect(plain.isClosed && !plain.text.contains("200"), "no plain HTTP beside it")
            let silent = try await RawConnection(port: port).read()
            #expect(silent.isClosed, "a handshake has a deadline too")
            try await client.shutdown()
            break
        }
        stop.yield()
        try await end.value
    }

    @Test func wrongFilesAreNamed() throws {
        #expect(throws: TLSFileError.self) {
            try TLSIdentity(certificates: "/nothing.pem", key: "/nothing.pem")
        }
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let files = try makeCertificate(in: folder)
        let other = folder.appendingPathComponent("other")
        try FileManager.default.createDirectory(at: other, withIntermediateDirectories: true)
        let key = try makeCertificate(in: other).key
        let error = #expect(throws: TLSFileError.self) {
            try TLSIdentity(certificates: files.certificate, key: key)
        }
        #expect(error?.description.contains("private key") == true)
    }
}
