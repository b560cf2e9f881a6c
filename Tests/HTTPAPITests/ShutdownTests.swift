import Foundation
import JSON
import Serving
import Testing
import TextGeneration

@testable import HTTPAPI

@Suite struct ShutdownTests {
    /// A server that runs until it is told to stop, and what its end was.
    private struct Running {
        let port: Int
        let engine: Engine
        let stop: @Sendable () -> Void
        let end: Task<Void, any Error>
    }

    private func start(_ configure: (inout Server.Configuration) -> Void = { _ in }) async throws -> Running {
        let test = try TestServer(slots: 1 << 16, longest: 60_000)
        var configuration = Server.Configuration()
        (configuration.port, configuration.modelName) = (0, "tiny")
        configure(&configuration)
        let server = Server(test.generator, configuration: configuration, logger: TestServer.quietLogger)
        let (stops, stop) = AsyncStream.makeStream(of: Void.self)
        let (ports, port) = AsyncStream.makeStream(of: Int.self)
        let end = Task { try await server.run(stops: stops) { port.yield($0) } }
        for await port in ports {
            return Running(port: port, engine: test.generator.engine, stop: { stop.yield() }, end: end)
        }
        throw TestFailure(message: "the server did not start")
    }

    private func get(_ port: Int, _ path: String) async throws -> RawConnection.Received {
        try await RawConnection.exchange(
            port, "GET \(path) HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    }

    @Test func whatRunsIsFinished() async throws {
        let server = try await start()
        let stream = try RawConnection(port: server.port)
        try await stream.send(rawStream(8000))
        _ = try await stream.read { $0.contains("data:") }
        server.stop()
        var ready = try await get(server.port, "/readiness")
        while ready.status == 200 { ready = try await get(server.port, "/readiness") }
        let alive = try await get(server.port, "/liveness")
        let refused = try await RawConnection.exchange(server.port, rawStream(1))
        #expect(ready.status == 503 && ready.text.contains("stopping"))
        #expect(alive.status == 200)
        #expect(refused.status == 503 && refused.text.lowercased().contains("retry-after"))
        let rest = try await stream.read(within: .seconds(20))
        #expect(rest.isClosed && rest.text.contains("\"finished\":true"))
        try await server.end.value
        #expect(throws: (any Error).self) { try RawConnection(port: server.port) }
        #expect(server.engine.statistics.running == 0)
    }

    @Test func whatTakesTooLongIsEnded() async throws {
        let server = try await start { $0.shutdownTimeout = .milliseconds(200) }
        let stream = try RawConnection(port: server.port)
        try await stream.send(rawStream(50_000))
        _ = try await stream.read { $0.contains("data:") }
        server.stop()
        let rest = try await stream.read()
        #expect(rest.isClosed && rest.text.contains("\"error\"") && !rest.text.contains("\"finished\":true"))
        try await server.end.value
    }

    @Test func askedTwiceItStopsAtOnce() async throws {
        let server = try await start { $0.shutdownTimeout = .seconds(600) }
        let stream = try RawConnection(port: server.port)
        try await stream.send(rawStream(50_000))
        _ = try await stream.read { $0.contains("data:") }
        let start = ContinuousClock.now
        server.stop()
        server.stop()
        await #expect(throws: ServerFailure.self) { try await server.end.value }
        #expect(ContinuousClock.now - start < .seconds(60))
    }

    @Test func aStalledServerEndsItself() async throws {
        // Nothing is ever as fast as this, so whatever runs counts as a stall.
        let server = try await start {
            ($0.stallTimeout, $0.healthCheckInterval) = (.nanoseconds(1), .milliseconds(5))
        }
        let stream = try RawConnection(port: server.port)
        try await stream.send(rawStream(50_000))
        await #expect(throws: ServerFailure.self) { try await server.end.value }
    }
}
