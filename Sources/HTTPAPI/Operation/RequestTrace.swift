import Foundation
import JSON
import OrderedCollections
import Serving

/// A request as spans of OpenTelemetry: the request, and within it the time that it waited, that its prompt was
/// computed, and that its answer was. Attributes follow the conventions for generative models; none is a text.
struct RequestTrace: Sendable {
    let context: TraceContext
    let method: String
    let path: String
    /// Nil when the client went away.
    let status: Int?
    let record: RequestRecord
    let state: RequestRecord.State
    let end: ContinuousClock.Instant

    func spans(model: String) -> [JSONValue] {
        let root = span(
            "\(method) \(path)", id: context.span, parent: context.parent, kind: 2, from: record.arrival,
            to: end, attributes: attributes(model))
        let marks = [
            ("queue", record.arrival, state.begin), ("prefill", state.begin, state.firstToken),
            ("decode", state.firstToken, state.lastToken),
        ]
        return [root]
            + marks.compactMap { name, from, to in
                guard let from, let to else { return nil }
                return span(
                    name, id: TraceContext.random(digits: 16), parent: context.span, kind: 1, from: from,
                    to: to, attributes: [])
            }
    }

    private func attributes(_ model: String) -> [JSONValue] {
        var result = [
            Self.attribute("http.request.method", .string(method)), Self.attribute("url.path", .string(path)),
            Self.attribute("gen_ai.request.id", .string(state.id)),
        ]
        if let status {
            result.append(Self.attribute("http.response.status_code", .integer(status)))
        }
        guard !state.answers.isEmpty else { return result }
        result += [
            Self.attribute("gen_ai.system", "lightllm"),
            Self.attribute(
                "gen_ai.operation.name", .string(path.contains("chat") ? "chat" : "text_completion")),
            Self.attribute("gen_ai.request.model", .string(model)),
            Self.attribute("gen_ai.response.model", .string(model)),
            Self.attribute("gen_ai.usage.input_tokens", .integer(state.promptTokens)),
            Self.attribute("gen_ai.usage.prompt_tokens", .integer(state.promptTokens)),
            Self.attribute("gen_ai.usage.output_tokens", .integer(state.tokens)),
            Self.attribute("gen_ai.usage.completion_tokens", .integer(state.tokens)),
            Self.attribute("gen_ai.usage.cached_tokens", .integer(state.cachedTokens)),
            Self.attribute("gen_ai.latency.e2e", .number((end - record.arrival) / .seconds(1))),
        ]
        if let first = state.firstToken {
            result.append(
                Self.attribute(
                    "gen_ai.latency.time_to_first_token", .number((first - record.arrival) / .seconds(1))))
        }
        if let begin = state.begin {
            result.append(
                Self.attribute(
                    "gen_ai.latency.time_in_queue", .number((begin - record.arrival) / .seconds(1))))
        }
        let reasons = Set(state.answers.compactMap { $0.finish?.rawValue }).sorted()
        let values = JSONValue.array(reasons.map { ["stringValue": .string($0)] })
        result.append([
            "key": "gen_ai.response.finish_reasons", "value": ["arrayValue": ["values": values]],
        ])
        return result
    }

    static func attribute(_ key: String, _ value: JSONValue) -> JSONValue {
        let wrapped: JSONValue
        switch value {
        case .integer(let number): wrapped = ["intValue": .string("\(number)")]
        case .number: wrapped = ["doubleValue": value]
        default: wrapped = ["stringValue": value]
        }
        return ["key": .string(key), "value": wrapped]
    }

    private func span(
        _ name: String, id: String, parent: String?, kind: Int, from: ContinuousClock.Instant,
        to: ContinuousClock.Instant, attributes: [JSONValue]
    ) -> JSONValue {
        let isError = kind == 2 && status.map { $0 >= 500 } ?? true
        return [
            "traceId": .string(context.trace), "spanId": .string(id),
            "parentSpanId": .string(parent ?? ""), "name": .string(name), "kind": .integer(kind),
            "startTimeUnixNano": .string(nanoseconds(from)), "endTimeUnixNano": .string(nanoseconds(to)),
            "attributes": .array(attributes), "status": .object(isError ? ["code": 2] : [:]),
        ]
    }

    /// Since 1970, as the protocol's JSON writes 64 bits: in a string.
    private func nanoseconds(_ instant: ContinuousClock.Instant) -> String {
        let offset = (instant - record.arrival) / .nanoseconds(1)
        return "\(UInt64(max(0, record.date.timeIntervalSince1970 * 1e9 + offset)))"
    }
}
