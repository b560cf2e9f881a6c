import HTTPTypes
import Hummingbird
import JSON
public import Logging
import NIOCore
import OrderedCollections
import Serving
public import TextGeneration

/// LightLLM's and OpenAI's routes for one model.
public struct Server: Sendable {
    public struct Configuration: Sendable {
        public var host = "127.0.0.1"
        public var port = 8000
        /// What the model is called in answers.
        public var modelName = "default_model_name"
        /// Tokens of an OpenAI answer whose request does not say how many, at most.
        public var defaultMaxTokens = 4096
        public var limits = ConnectionLimits()
        public var keys = APIKeys([])
        public var crossOrigin = CrossOriginRules()
        /// Nil to speak plain HTTP.
        public var tls: TLSIdentity?
        /// Whether every request gets a line in the log.
        public var logsAccess = true
        /// Where traces of requests are sent to.
        public var tracesEndpoint: String?
        public var pushGateway: PushGateway?
        /// How long running requests may take once the server is asked to stop.
        public var shutdownTimeout = Duration.seconds(30)
        /// How often the server looks for a stall, to end itself after three in a row; nil for never.
        public var healthCheckInterval: Duration?
        /// How long a request waits for its turn, unless it says itself.
        public var queueTimeout: Duration?
        /// How long a step may take before the server calls itself unready.
        public var stallTimeout = Duration.seconds(60)
        /// How LightLLM's own routes behave.
        public var native = NativeOptions()
        /// How often the log says what runs; nil: never.
        public var statisticsInterval: Duration?
        /// Where images may come from; nil if the model takes none.
        public var media: MediaPolicy?
        /// Whether health checks fail, to see what happens then.
        public var failsHealthChecks = false

        public init() {}
    }

    let generator: TextGenerator
    let configuration: Configuration
    let metrics: ServerMetrics
    let logger: Logger
    let traffic = Traffic()
    let traces: TraceExporter?
    /// Nil if the model takes no images.
    let media: MediaLoader?

    public init(_ generator: TextGenerator, configuration: Configuration, logger: Logger) {
        self.init(generator, configuration: configuration, logger: logger, network: .internet())
    }

    init(
        _ generator: TextGenerator, configuration: Configuration, logger: Logger, network: MediaNetwork
    ) {
        (self.generator, self.configuration, self.logger) = (generator, configuration, logger)
        metrics = ServerMetrics(
            modelName: configuration.modelName,
            maxRequestTokens: generator.engine.configuration.maxRequestTokens)
        media = configuration.media.map { MediaLoader($0, network: network) }
        traces = configuration.tracesEndpoint.map {
            TraceExporter(endpoint: $0, model: configuration.modelName, logger: logger)
        }
    }

    /// Whether requests may have images.
    var acceptsImages: Bool { media != nil }

    /// What answers requests.
    func router() -> Router<ServerContext> {
        let router = Router(context: ServerContext.self, options: .autoGenerateHeadEndpoints)
        router.add(
            middleware: RequestLog(
                traffic: traffic, logger: configuration.logsAccess ? logger : nil, traces: traces))
        router.add(middleware: ReportHeaders())
        router.add(middleware: TrustedOrigins(configuration))
        router.add(middleware: Authentication(keys: configuration.keys))
        router.add(middleware: UnknownPath())
        router.add(middleware: PlainPaths())
        router.add(middleware: DrainRefusal(traffic: traffic))
        addInformationRoutes(router)
        addGenerateRoutes(router)
        addOpenAIRoutes(router)
        addResponsesRoute(router)
        addAnthropicRoutes(router)
        addScoreRoute(router)
        addTokenizeRoutes(router)
        addEmbeddingRoute(router)
        addCapabilitiesRoute(router)
        refuseOtherMethods(router)
        return router
    }

    /// Reads the body and answers, turning errors into the style of the route.
    func answering(
        style: ErrorStyle, _ handler: @escaping @Sendable (JSONValue, ServerContext) async throws -> Response
    ) -> @Sendable (Request, ServerContext) async throws -> Response {
        { request, context in
            do {
                let buffer: ByteBuffer
                do {
                    buffer = try await request.body.collect(upTo: configuration.limits.largestBody)
                } catch is NIOTooManyBytesError {
                    throw APIError(
                        status: .contentTooLarge,
                        message: "the body is larger than \(configuration.limits.largestBody) bytes")
                }
                return try await handler(
                    try JSONValue(parsing: Array(buffer.readableBytesView), maximumDepth: 64), context)
            } catch {
                let error = APIError(error)
                metrics.countFailure()
                logger.info(
                    "request refused",
                    metadata: [
                        "status": "\(error.status.code)",
                        "reason": "\(LogText.escaped(error.message, limit: 256))",
                    ])
                return error.response(style)
            }
        }
    }

    /// Starts the answers of one HTTP request, and ends them should its client go away.
    func start(_ requests: [TextRequest], _ context: ServerContext) throws -> [TextStream] {
        guard requests.count <= 1024 else {
            throw APIError.invalid("a request may have 1024 answers at most, this asks for \(requests.count)")
        }
        var streams: [TextStream] = []
        do {
            for request in requests {
                let stream = try generator.generate(
                    constrained(request).of(context.tenant, timeout: configuration.queueTimeout))
                streams.append(context.record.observing(stream))
            }
        } catch {
            for stream in streams { stream.cancel() }
            throw error
        }
        context.report.addTruncated(streams)
        context.cancelOnDisconnect(streams)
        return streams
    }
}

/// Answers what no route knows as LightLLM does.
private struct UnknownPath: RouterMiddleware {
    func handle(
        _ request: Request, context: ServerContext, next: (Request, ServerContext) async throws -> Response
    ) async throws -> Response {
        do {
            return try await next(request, context)
        } catch let error as HTTPError where error.status == .notFound || error.status == .methodNotAllowed {
            let text = error.status == .notFound ? "Not Found" : "Method Not Allowed"
            var body = APIError(status: error.status, message: text).body(.openAI).object ?? [:]
            body["detail"] = .string(text)
            return .json(.object(body), status: error.status)
        }
    }
}
