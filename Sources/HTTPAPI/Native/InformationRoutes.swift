import HTTPTypes
import Hummingbird
import JSON
import NIOCore
import OrderedCollections
import Serving
import TextGeneration

extension Server {
    func addInformationRoutes(_ router: Router<ServerContext>) {
        for method in [HTTPRequest.Method.get, .post] {
            router.on("/liveness", method: method) { _, _ in Response.json(["status": "ok"]) }
            router.on("/readiness", method: method) { _, _ in readiness }
            router.on("/get_model_name", method: method) { _, _ in
                Response.json(["model_name": .string(configuration.modelName)])
            }
            router.on("/tokens", method: method, use: answering(style: .native, countTokens))
        }
        for path: RouterPath in ["/health", "/healthz"] {
            router.get(path) { _, context in await health(context) }
        }
        router.get("/token_load") { _, _ in tokenLoad }
        router.get("/metrics") { _, _ in
            Response(
                status: .ok, headers: [.contentType: "text/plain; version=0.0.4; charset=utf-8"],
                body: ResponseBody(byteBuffer: ByteBuffer(string: metricsText)))
        }
    }

    /// All metrics in Prometheus' format.
    var metricsText: String {
        metrics.text(generator.engine.statistics, images: generator.images?.statistics)
    }

    private func countTokens(_ body: JSONValue, _ context: ServerContext) async throws -> Response {
        var fields = try RequestFields(body)
        guard let text = try fields.string("text") else {
            throw APIError.invalid("text is missing", parameter: "text")
        }
        let images = try fields.images(acceptsImages: acceptsImages)
        // Either way of saying how.
        var inner = try RequestFields(fields.value("parameters") ?? .object([:]), path: "parameters")
        _ = try NativeParameters(&inner, generator, configuration.native)
        func option(_ name: String) throws(APIError) -> Bool {
            let (outer, nested) = (try fields.bool(name), try inner.bool(name))
            return outer ?? nested ?? true
        }
        let count = try generator.countTokens(
            of: .text(
                text, addsSpecialTokens: try option("add_special_tokens"),
                parsesSpecialTokens: try option("parse_special_tokens")), with: await encoded(images))
        return .json(
            ["ntokens": .integer(count)], ignored: fields.ignored + inner.ignored.map(inner.name))
    }

    /// Healthy means that a request has been answered lately; if none has, one is made.
    private func health(_ context: ServerContext) async -> Response {
        guard stall == nil, generator.failure == nil, !traffic.isDraining,
            !configuration.failsHealthChecks
        else {
            return .json(["message": "Error"], status: .serviceUnavailable)
        }
        if metrics.hasSucceeded(within: .seconds(100)) { return .json(["message": "Ok"]) }
        do {
            if generator.engine.scoresTexts || generator.engine.embedsTexts {
                try await generator.tryOut("你好！", newTokens: 2)
            } else {
                let request = TextRequest(prompt: .text("你好！"), maxNewTokens: 2)
                _ = try await collect(try start([request], context))
            }
            return .json(["message": "Ok"])
        } catch {
            return .json(["message": "Error"], status: .serviceUnavailable)
        }
    }

    /// How long the engine has made no progress, if that is too long.
    private var stall: Duration? {
        guard let stall = generator.engine.statistics.stall(at: .now), stall > configuration.stallTimeout
        else {
            return nil
        }
        return stall
    }

    /// Ready means that work that is there gets done.
    private var readiness: Response {
        guard !traffic.isDraining else {
            return .json(
                ["status": "error", "reason": "the server is stopping"], status: .serviceUnavailable)
        }
        if let failure = generator.failure {
            return .json(["status": "error", "reason": .string("\(failure)")], status: .serviceUnavailable)
        }
        guard let stall else { return .json(["status": "ok"]) }
        let statistics = generator.engine.statistics
        return .json(
            [
                "status": "error",
                "reason": .string(
                    "no step has ended for \(Int(stall / .seconds(1))) s, with \(statistics.running) requests running and \(statistics.waiting) waiting"
                ),
                "steps": .integer(statistics.steps), "generated_tokens": .integer(statistics.generatedTokens),
            ], status: .serviceUnavailable)
    }

    /// The part of the slots that is in use, and the part that running requests may come to use.
    private var tokenLoad: Response {
        let statistics = generator.engine.statistics
        let total = Double(max(statistics.totalSlots, 1))
        let peak = JSONValue.number(Double(statistics.peakSlots) / total)
        return .json([
            "current_load": .number(Double(statistics.usedSlots) / total), "logical_max_load": peak,
            "dynamic_max_load": peak,
        ])
    }
}
