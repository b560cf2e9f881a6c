import AsyncHTTPClient
import JSON
import Logging
import NIOCore
import NIOHTTP1
import ServiceLifecycle
import Synchronization

/// Sends traces of requests to a collector, as OTLP over HTTP in JSON. Requests never wait for it: what does not fit
/// between two deliveries is dropped, and so is what the collector does not take.
final class TraceExporter: Service {
    private struct State {
        var traces: [RequestTrace] = []
        var dropped = 0
    }

    private let endpoint: String
    private let model: String
    private let logger: Logger
    private let interval: Duration
    private let capacity = 2048
    private let state = Mutex(State())

    init(endpoint: String, model: String, interval: Duration = .seconds(1), logger: Logger) {
        (self.endpoint, self.model, self.interval, self.logger) = (endpoint, model, interval, logger)
    }

    func add(_ trace: RequestTrace) {
        guard trace.context.isSampled else { return }
        state.withLock {
            if $0.traces.count < capacity { $0.traces.append(trace) } else { $0.dropped += 1 }
        }
    }

    func run() async throws {
        var isOver = false
        while !isOver {
            isOver = await pause(interval)
            let waiting = state.withLock { state in
                defer { state = State() }
                return state
            }
            let traces = waiting.traces
            var lost = waiting.dropped
            for start in stride(from: 0, to: traces.count, by: 128) {
                let batch = traces[start..<min(start + 128, traces.count)]
                if await !send(batch) { lost += batch.count }
            }
            if lost > 0 { logger.warning("traces lost", metadata: ["requests": "\(lost)"]) }
        }
    }

    private func send(_ traces: ArraySlice<RequestTrace>) async -> Bool {
        let scope: JSONValue = [
            "scope": ["name": "lightllm"], "spans": .array(traces.flatMap { $0.spans(model: model) }),
        ]
        let body: JSONValue = [
            "resourceSpans": [
                [
                    "resource": ["attributes": [RequestTrace.attribute("service.name", "lightllm")]],
                    "scopeSpans": [scope],
                ]
            ]
        ]
        return await deliver(
            .POST, to: endpoint, type: "application/json", body: body.serialized, headers: [:])
    }
}
