import HTTPTypes
import Hummingbird
import Logging
import NIOCore
import Serving
import Synchronization

/// Gives every request its id, and says what became of it once its answer is through: a line in the log, a trace.
/// Neither has prompts, answers, keys or queries.
struct RequestLog: RouterMiddleware {
    let traffic: Traffic
    /// Nil when nothing is logged.
    let logger: Logger?
    let traces: TraceExporter?

    func handle(
        _ request: Request, context: ServerContext, next: (Request, ServerContext) async throws -> Response
    ) async throws -> Response {
        let record = context.record
        record.identify(
            request: request.headers[named: "x-request-id"], session: request.headers[named: "x-session-id"])
        let ending = RequestEnding(self, request, record)
        var response: Response
        do {
            response = try await next(request, context)
        } catch {
            response = APIError(error).response(ErrorStyle(path: request.uri.path))
        }
        response.headers[named: "x-request-id"] = record.state.id
        guard response.body.contentLength == nil else {
            ending.finish(response.status)
            return response
        }
        let (status, body) = (response.status, response.body)
        response.body = ResponseBody { writer in
            try await body.write(writer)
            ending.finish(status)
        }
        return response
    }
}

/// The end of a request: reported once, at the latest when nothing can write its answer any more.
private final class RequestEnding: Sendable {
    private let log: RequestLog
    private let record: RequestRecord
    private let method: String
    private let path: String
    private let trace: TraceContext?
    private let isReported = Atomic(false)

    init(_ log: RequestLog, _ request: Request, _ record: RequestRecord) {
        (self.log, self.record) = (log, record)
        (method, path) = (request.method.rawValue, LogText.escaped(request.uri.path, limit: 256))
        trace = log.traces.map { _ in TraceContext(parent: request.headers[named: "traceparent"]) }
        log.traffic.begin()
    }

    deinit {
        finish(nil)
        log.traffic.end()
    }

    /// Without a status nobody got the answer, or not all of it.
    func finish(_ status: HTTPResponse.Status?) {
        guard !isReported.exchange(true, ordering: .relaxed) else { return }
        let end = ContinuousClock.now
        let state = record.state
        // A stream whose client has left ends like any other, but for its last token.
        let isWhole = state.answers.allSatisfy { $0.finish != nil } || status != .ok
        let status = isWhole ? status : nil
        if let logger = log.logger { logger.info("\(line(state, status, end))") }
        if let trace {
            log.traces?.add(
                RequestTrace(
                    context: trace, method: method, path: path, status: status?.code, record: record,
                    state: state, end: end))
        }
    }

    /// LightLLM's line, after what was asked.
    private func line(
        _ state: RequestRecord.State, _ status: HTTPResponse.Status?, _ end: ContinuousClock.Instant
    ) -> String {
        var parts = [method, path, status.map { "\($0.code)" } ?? "aborted", "X-Request-Id:\(state.id)"]
        if let session = state.session { parts.append("X-Session-Id:\(session)") }
        let total = milliseconds(end - record.arrival)
        guard !state.answers.isEmpty else {
            return (parts + ["total_cost_time:\(total)ms"]).joined(separator: " ")
        }
        let first = state.firstToken.map { milliseconds($0 - record.arrival) } ?? 0
        let perToken = max(0, total - first) / Double(max(state.tokens, 1))
        let ratio = Double(state.cachedTokens) / Double(max(state.promptTokens, 1))
        parts += [
            "first_token_cost:\(first)ms", "total_cost_time:\(total)ms,out_token_counter:\(state.tokens)",
            "mean_per_token_cost_time:\(rounded(perToken))ms", "prompt_token_num:\(state.promptTokens)",
            "prompt_cache_len:\(state.cachedTokens)", "prompt_cache_ratio:\(rounded(ratio))",
        ]
        return parts.joined(separator: " ")
    }

    private func milliseconds(_ duration: Duration) -> Double { rounded(duration / .milliseconds(1)) }
    private func rounded(_ value: Double) -> Double { (value * 1000).rounded() / 1000 }
}

/// Texts of requests in a log, where they must not look like lines of their own or move the cursor.
enum LogText {
    /// Control characters, and everything that is not ASCII, as escapes; cut after `limit` bytes.
    static func escaped(_ text: String, limit: Int) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            guard result.utf8.count < limit else { return result + "…" }
            if scalar.isASCII, scalar.value >= 0x20, scalar.value != 0x7F {
                result.unicodeScalars.append(scalar)
            } else {
                result += "\\u{\(String(scalar.value, radix: 16))}"
            }
        }
        return result
    }
}
