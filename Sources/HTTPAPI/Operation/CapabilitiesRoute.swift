import HTTPTypes
import Hummingbird
import JSON
import OrderedCollections
import Scheduling
import Serving
import TextGeneration
import ToolCalls

extension Server {
    /// `/v1/capabilities`: what this server can do, for clients that would rather ask than try. To be added after
    /// the routes that it lists.
    func addCapabilitiesRoute(_ router: Router<ServerContext>) {
        let path = "/v1/capabilities"
        let routes = (router.routes.map { "\($0.method.rawValue) \($0.path)" } + ["GET " + path]).sorted()
        router.get(RouterPath(path)) { _, _ in
            Response.json(capabilities(routes: routes))
        }
    }

    private func capabilities(routes: [String]) -> JSONValue {
        let engine = generator.engine.configuration
        let format = generator.answerFormat
        let generates = !generator.engine.scoresTexts
        func number(_ value: Int?) -> JSONValue { value.map { .integer($0) } ?? .null }
        return [
            "model": .string(configuration.modelName),
            "max_model_len": .integer(engine.maxRequestTokens),
            "vocabulary_size": .integer(generator.engine.vocabularySize),
            "routes": .array(routes.map { .string($0) }),
            "features": [
                "generation": .bool(generates), "scoring": .bool(!generates),
                "chat": .bool(generates && generator.chatTemplate != nil), "streaming": .bool(generates),
                "tools": generates ? format.tools.map { .string($0.family.rawValue) } ?? .null : .null,
                "reasoning": generates ? format.reasoning.map { .string($0.opening) } ?? .null : .null,
                "structured_output": .array(generates ? AnswerForm.kindNames.map { .string($0) } : []),
                "embeddings": .bool(routes.contains("POST /v1/embeddings")),
                "prefix_cache": .bool(engine.sharesPrefixes), "vision": .bool(acceptsImages),
            ],
            "limits": [
                "max_body_bytes": .integer(configuration.limits.largestBody),
                "max_header_bytes": .integer(configuration.limits.largestHeaders),
                "max_url_bytes": .integer(configuration.limits.largestURL),
                "max_connections": .integer(configuration.limits.connectionsThatFit),
                "max_running_requests": number(engine.limits.runningSequences),
                "max_waiting_requests": number(engine.limits.waitingSequences),
                "max_total_tokens": .integer(engine.slots),
                "default_max_tokens": .integer(configuration.defaultMaxTokens),
                "queue_timeout": configuration.queueTimeout.map { .number($0 / .seconds(1)) } ?? .null,
            ],
            "authentication": .bool(!configuration.keys.isEmpty), "tls": .bool(configuration.tls != nil),
        ]
    }

    /// Answers what a path has no handler for, which would otherwise look like a path that does not exist. To be
    /// added after all routes.
    func refuseOtherMethods(_ router: Router<ServerContext>) {
        var methods: OrderedDictionary<String, [HTTPRequest.Method]> = [:]
        for route in router.routes { methods[route.path.description, default: []].append(route.method) }
        let all: [HTTPRequest.Method] = [.get, .head, .post, .put, .patch, .delete, .options]
        for (path, known) in methods {
            let known = known.contains(.get) && !known.contains(.head) ? known + [.head] : known
            let allowed = known.map(\.rawValue).sorted().joined(separator: ", ")
            for method in all where !known.contains(method) {
                router.on(RouterPath(path), method: method) { _, _ in
                    let error = APIError(status: .methodNotAllowed, message: "Method Not Allowed")
                    var body = error.body(.openAI).object ?? [:]
                    body["detail"] = .string(error.message)
                    var response = Response.json(.object(body), status: error.status)
                    response.headers[.allow] = allowed
                    return response
                }
            }
        }
    }
}
