import Foundation
import HTTPTypes
import Hummingbird
import HummingbirdTesting
import JSON
import NIOCore
import OrderedCollections
import Synchronization
import Testing

@testable import HTTPAPI

/// A server that keeps what others post to it.
private final class Collector: Sendable {
    struct Delivery {
        let method: HTTPRequest.Method
        let path: String
        let authorization: String?
        let body: String
    }

    private let received = Mutex<[Delivery]>([])
    var deliveries: [Delivery] { received.withLock { $0 } }

    /// Runs `body` with the collector's port.
    func run(_ body: @escaping @Sendable (Int) async throws -> Void) async throws {
        let router = Router()
        for method in [HTTPRequest.Method.put, .post] {
            router.on("**", method: method) { request, _ in
                let text = String(buffer: try await request.body.collect(upTo: 1 << 22))
                self.received.withLock {
                    $0.append(
                        Delivery(
                            method: request.method, path: request.uri.path,
                            authorization: request.headers[.authorization], body: text))
                }
                return HTTPResponse.Status.ok
            }
        }
        let configuration = ApplicationConfiguration(address: .hostname("127.0.0.1", port: 0))
        let application = Application(
            router: router, configuration: configuration, logger: TestServer.quietLogger)
        try await application.test(.live) { client in try await body(try #require(client.port)) }
    }

    /// Waits until a delivery is what `condition` asks for.
    func delivery(where condition: @Sendable (Delivery) -> Bool) async throws -> Delivery? {
        for _ in 0..<500 {
            if let found = deliveries.first(where: condition) { return found }
            try await Task.sleep(for: .milliseconds(10))
        }
        return nil
    }
}

@Suite struct TraceTests {
    @Test func contextsGoOn() {
        let trace = "0af7651916cd43dd8448eb211c80319c"
        let known = TraceContext(parent: "00-\(trace)-b7ad6b7169203331-01")
        #expect(known.trace == trace && known.parent == "b7ad6b7169203331" && known.isSampled)
        #expect(!TraceContext(parent: "00-\(trace)-b7ad6b7169203331-00").isSampled)
        for wrong in [
            nil, "", "00", "00-\(trace)-b7ad6b7169203331", "ff-\(trace)-b7ad6b7169203331-01",
            "00-\(trace.uppercased())-b7ad6b7169203331-01", "00-\(trace)-0000000000000000-01",
            "00-\(trace)-b7ad6b7169203331-01-x", "00-\(trace)-b7ad6b716920333-01",
            "00-\(trace)-b7ad6b7169203331-zz",
        ] {
            let new = TraceContext(parent: wrong)
            #expect(new.parent == nil && new.trace != trace && new.isSampled, "\(wrong ?? "none")")
            #expect(new.trace.utf8.count == 32 && new.span.utf8.count == 16)
        }
    }

    @Test func requestsBecomeSpans() async throws {
        let collector = Collector()
        try await collector.run { collectorPort in
            let test = try TestServer()
            var configuration = Server.Configuration()
            (configuration.port, configuration.modelName) = (0, "tiny")
            configuration.tracesEndpoint = "http://127.0.0.1:\(collectorPort)/v1/traces"
            let server = Server(test.generator, configuration: configuration, logger: TestServer.quietLogger)
            let (stops, stop) = AsyncStream.makeStream(of: Void.self)
            let (ports, started) = AsyncStream.makeStream(of: Int.self)
            let end = Task { try await server.run(stops: stops) { started.yield($0) } }
            for await port in ports {
                let parent = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n"
                let body =
                    #"{"model": "tiny", "prompt": "secret words", "max_tokens": 4, "ignore_eos": true}"#
                let answer = try await RawConnection.exchange(
                    port, rawPost("/v1/completions", body, headers: parent + "Connection: close\r\n"),
                    within: .seconds(10))
                #expect(answer.status == 200)
                break
            }
            // What is still here when the server stops is sent too.
            stop.yield()
            try await end.value
        }
        let delivery = try #require(try await collector.delivery { $0.body.contains("/v1/completions") })
        #expect(delivery.path == "/v1/traces" && !delivery.body.contains("secret"))
        let spans = try #require(
            try JSONValue(parsing: delivery.body)["resourceSpans"]?.array?.first?["scopeSpans"]?.array?
                .first?["spans"]?
                .array)
        #expect(spans.map { $0["name"]?.string } == ["POST /v1/completions", "queue", "prefill", "decode"])
        #expect(spans.allSatisfy { $0["traceId"]?.string == "0af7651916cd43dd8448eb211c80319c" })
        #expect(spans[0]["parentSpanId"]?.string == "b7ad6b7169203331")
        #expect(spans.dropFirst().allSatisfy { $0["parentSpanId"] == spans[0]["spanId"] })
        var times: [UInt64] = []
        for span in spans {
            let begin = try #require(span["startTimeUnixNano"]?.string.flatMap { UInt64($0) })
            let end = try #require(span["endTimeUnixNano"]?.string.flatMap { UInt64($0) })
            #expect(begin <= end)
            times += [begin, end]
        }
        #expect(
            times[3] == times[4] && times[5] == times[6] && times[0] == times[2],
            "one ends where the next begins")
        var attributes: [String: JSONValue] = [:]
        for attribute in spans[0]["attributes"]?.array ?? [] {
            attributes[attribute["key"]?.string ?? ""] = attribute["value"]
        }
        #expect(attributes["gen_ai.request.model"] == ["stringValue": "tiny"])
        #expect(attributes["gen_ai.usage.completion_tokens"] == ["intValue": "4"])
        #expect(attributes["http.response.status_code"] == ["intValue": "200"])
        #expect(attributes["gen_ai.latency.time_to_first_token"]?["doubleValue"] != nil)
    }

    @Test func nobodyWaitsForACollector() async throws {
        let log = LogCollector()
        let exporter = TraceExporter(
            endpoint: "http://127.0.0.1:1/v1/traces", model: "tiny", interval: .milliseconds(10),
            logger: log.logger)
        let record = RequestRecord()
        for _ in 0..<3000 {
            exporter.add(
                RequestTrace(
                    context: TraceContext(parent: nil), method: "GET", path: "/", status: 200, record: record,
                    state: record.state, end: .now))
        }
        let run = Task { try await exporter.run() }
        _ = try await log.line(with: "traces lost")
        run.cancel()
        try await run.value
        let lost = log.lines.compactMap { $0.firstMatch(of: /requests=(\d+)/).flatMap { Int($0.1) } }
        #expect(lost.reduce(0, +) == 3000)
    }
}

@Suite struct PushTests {
    @Test func metricsArePushed() async throws {
        let collector = Collector()
        try await collector.run { port in
            var gateway = PushGateway(address: "127.0.0.1:\(port)")
            (gateway.job, gateway.interval) = ("the job", .milliseconds(10))
            gateway.groupingKeys = [("zone", "a/b"), ("name", "x")]
            gateway.credentials = ("me", "pass")
            let push = MetricsPush(gateway: gateway, logger: TestServer.quietLogger) { "metric 1\n" }
            let run = Task { try await push.run() }
            let delivery = try #require(try await collector.delivery { _ in true })
            run.cancel()
            try await run.value
            #expect(delivery.method == .put && delivery.body == "metric 1\n")
            #expect(delivery.path == "/metrics/job/the%20job/zone@base64/YS9i/name/x")
            #expect(delivery.authorization == "Basic bWU6cGFzcw==")
        }
    }
}
