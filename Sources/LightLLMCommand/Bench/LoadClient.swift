import ArgumentParser
import AsyncHTTPClient
import Foundation
import JSON
import NIOCore
import NIOHTTP1
import OrderedCollections

/// Which of a server's routes is asked.
enum LoadBackend: String, CaseIterable, ExpressibleByArgument {
    /// OpenAI's `/v1/completions`, streamed.
    case openai
    /// LightLLM's `/generate`, whose answer comes as one, as `benchmark_serving.py` asks it.
    case lightllm

    var path: String { self == .openai ? "v1/completions" : "generate" }
}

/// Sends requests to a server.
struct LoadClient: Sendable {
    let http: HTTPClient
    let server: ServerAddress
    let backend: LoadBackend
    let model: String
    /// Added to every request's body.
    let extraFields: JSONValue.Members

    /// Sends the requests at their pace. `onCompletion` is called with each outcome as it comes.
    func send(
        _ requests: [PlannedRequest], atOnce: Int,
        onCompletion: (Result<TimedAnswer, LoadFailure>) -> Void
    ) async {
        await withTaskGroup(of: Result<TimedAnswer, LoadFailure>.self) { group in
            let start = ContinuousClock.now
            var waiting = requests[...]
            func sendNext() {
                guard let request = waiting.popFirst() else { return }
                group.addTask {
                    try? await Task.sleep(until: start + request.arrival)
                    return await self.send(request)
                }
            }
            for _ in 0..<atOnce { sendNext() }
            for await outcome in group {
                onCompletion(outcome)
                sendNext()
            }
        }
    }

    func send(_ request: PlannedRequest) async -> Result<TimedAnswer, LoadFailure> {
        do {
            return .success(try await answer(request))
        } catch let failure as LoadFailure {
            return .failure(failure)
        } catch {
            return .failure(LoadFailure("\(error)"))
        }
    }

    private func answer(_ request: PlannedRequest) async throws -> TimedAnswer {
        var message = HTTPClientRequest(url: server.url(backend.path))
        message.method = .POST
        message.headers.add(name: "content-type", value: "application/json")
        // A server may close a connection just when it is used again.
        message.headers.add(name: "connection", value: "close")
        message.body = .bytes(ByteBuffer(bytes: body(request)))
        if backend == .lightllm { message.headers.add(name: "user-agent", value: "Benchmark Client") }
        let sent = ContinuousClock.now
        let response = try await http.execute(message, timeout: .hours(3))
        guard response.status == .ok else {
            let text = String(buffer: try await response.body.collect(upTo: 1 << 20))
            throw LoadFailure("status \(response.status.code): \(text.prefix(300))")
        }
        if backend == .lightllm {
            let body = try await response.body.collect(upTo: 1 << 28)
            return try WholeAnswer(sent: sent, received: .now).answer(
                Array(body.readableBytesView), to: request)
        }
        var record = AnswerRecord(sent: sent)
        for try await part in response.body { record.add(part.readableBytesView, at: .now) }
        return try record.answer(to: request)
    }

    private func body(_ request: PlannedRequest) -> [UInt8] {
        var fields: JSONValue.Members
        switch backend {
        case .openai:
            fields = [
                "model": .string(model), "prompt": request.prompt.json,
                "max_tokens": .integer(request.newTokens), "temperature": 0, "ignore_eos": true,
                "stream": true,
                "stream_options": ["include_usage": true],
            ]
        case .lightllm:
            fields = [
                "inputs": request.prompt.json,
                "parameters": [
                    "do_sample": false, "ignore_eos": true, "max_new_tokens": .integer(request.newTokens),
                ],
            ]
        }
        fields.merge(extraFields) { $1 }
        var bytes: [UInt8] = []
        JSONValue.object(fields).write(to: &bytes)
        return bytes
    }
}

/// Where a server is, with or without the `/v1` of OpenAI's base addresses.
struct ServerAddress: Sendable, ExpressibleByArgument, CustomStringConvertible {
    let description: String

    /// Where `lightllm serve` listens unless told otherwise.
    static let standard = ServerAddress("http://127.0.0.1:8000")

    private init(_ base: String) { description = base }

    init?(argument: String) {
        guard argument.hasPrefix("http://") || argument.hasPrefix("https://"),
            URL(string: argument)?.host != nil
        else { return nil }
        var base = argument[...]
        for suffix in ["/", "/v1"] where base.hasSuffix(suffix) { base.removeLast(suffix.count) }
        self.init(String(base))
    }

    func url(_ path: String) -> String { "\(description)/\(path)" }
}

extension HTTPClient {
    /// The name of the first model that `server` serves.
    func modelName(of server: ServerAddress) async throws -> String {
        let url = server.url("v1/models")
        let response: HTTPClientResponse
        do {
            response = try await execute(HTTPClientRequest(url: url), timeout: .seconds(30))
        } catch {
            throw LoadFailure("\(url): \(error)")
        }
        let body = try await response.body.collect(upTo: 1 << 20)
        let models = try? JSONValue(parsing: Array(body.readableBytesView))
        guard let name = models?["data"]?.array?.first?["id"]?.string else {
            throw LoadFailure(
                "\(url): expected a list of models, found status \(response.status.code); --model names one")
        }
        return name
    }
}
