import Foundation
import HTTPTypes
import Hummingbird
import HummingbirdTesting
import JSON
import LightLLM
import Logging
import NIOCore

@testable import HTTPAPI

/// A server of the tiny model.
struct TestServer {
    let generator: TextGenerator

    init(_ generator: TextGenerator) { self.generator = generator }

    static let modelPath = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().appendingPathComponent("Fixtures/goldens/models/tiny_llama").path

    init(slots: Int = 4096, runningRequests: Int = 64, longest: Int = 256, template: String? = nil) throws {
        var options = TextOptions()
        (options.engine.maxTotalTokens, options.engine.maxRequestTokens, options.engine.threads) = (
            slots, longest, 2
        )
        options.engine.limits.runningSequences = runningRequests
        options.chatTemplate = template
        generator = try LoadedTextModel(path: Self.modelPath, options: options).generator
    }

    static var quietLogger: Logger {
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        return logger
    }

    /// Runs the server on a free port, and checks that afterwards every slot is free. The client of `.live` has
    /// one connection, that of `.ahc` as many as it takes.
    func run(
        logger: Logger? = nil, over setup: TestingSetup = .live,
        _ configure: (inout Server.Configuration) -> Void = { _ in },
        _ body: @escaping @Sendable (any TestClientProtocol) async throws -> Void
    ) async throws {
        var configuration = Server.Configuration()
        (configuration.port, configuration.modelName) = (0, "tiny")
        configure(&configuration)
        let server = Server(generator, configuration: configuration, logger: logger ?? Self.quietLogger)
        try await server.application(onRunning: { _ in }).test(setup) { client in try await body(client) }
        for _ in 0..<1000
        where generator.engine.statistics.freeSlots != generator.engine.statistics.totalSlots {
            try await Task.sleep(for: .milliseconds(10))
        }
        guard generator.engine.statistics.freeSlots == generator.engine.statistics.totalSlots else {
            throw TestFailure(message: "\(generator.engine.statistics) when nothing runs")
        }
    }
}

struct TestFailure: Error { let message: String }

extension TestClientProtocol {
    /// Posts JSON; the status and the answer, which must be JSON too.
    func post(_ path: String, _ body: JSONValue) async throws -> (
        status: HTTPResponse.Status, json: JSONValue
    ) {
        let (status, text) = try await postText(path, body.serialized)
        return (status, try JSONValue(parsing: text))
    }

    func postText(_ path: String, _ body: String) async throws -> (status: HTTPResponse.Status, text: String)
    {
        try await execute(
            uri: path, method: .post, headers: [.contentType: "application/json"],
            body: ByteBuffer(string: body)
        ) { ($0.status, String(buffer: $0.body)) }
    }

    func get(_ path: String) async throws -> (status: HTTPResponse.Status, text: String) {
        try await execute(uri: path, method: .get) { ($0.status, String(buffer: $0.body)) }
    }
}

/// Connects to a port of this machine.
func connectSocket(_ descriptor: Int32, port: Int) throws {
    var address = sockaddr_in()
    (address.sin_family, address.sin_port) = (sa_family_t(AF_INET), UInt16(port).bigEndian)
    address.sin_addr.s_addr = inet_addr("127.0.0.1")
    let status = withUnsafePointer(to: &address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
        }
    }
    guard status == 0 else { throw TestFailure(message: "cannot connect: \(errno)") }
}

/// Sends a request and closes the connection without waiting for the answer.
func leave(port: Int, path: String, body: String) throws {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(descriptor) }
    try connectSocket(descriptor, port: port)
    let text = "POST \(path) HTTP/1.1\r\nHost: localhost\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)"
    _ = Array(text.utf8).withUnsafeBytes { send(descriptor, $0.baseAddress, $0.count, 0) }
    usleep(1000)
}

/// The events of a stream.
func events(_ text: String) throws -> [JSONValue] {
    try text.components(separatedBy: "\n\n").filter { !$0.isEmpty && !$0.hasSuffix("[DONE]") }.map { event in
        guard event.hasPrefix("data:") else { throw TestFailure(message: "no event: \(event)") }
        return try JSONValue(parsing: String(event.dropFirst(5)))
    }
}
