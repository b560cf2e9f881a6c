import HTTPTypes
import Hummingbird
import JSON
public import Logging
import NIOCore
import OrderedCollections
import Serving
import ServiceLifecycle
import UnixSignals
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
        public var largestBody = 8 << 20
        public var keys = APIKeys([])
        /// How long a request waits for its turn, unless it says itself.
        public var queueTimeout: Duration?
        /// How long a step may take before the server calls itself unready.
        public var stallTimeout = Duration.seconds(60)

        public init() {}
    }

    let generator: TextGenerator
    let configuration: Configuration
    let metrics: ServerMetrics
    let logger: Logger

    public init(_ generator: TextGenerator, configuration: Configuration, logger: Logger) {
        (self.generator, self.configuration, self.logger) = (generator, configuration, logger)
        metrics = ServerMetrics(
            modelName: configuration.modelName,
            maxRequestTokens: generator.engine.configuration.maxRequestTokens)
    }

    /// The application; `onRunning` is called with the port once it listens.
    func application(onRunning: @escaping @Sendable (Int) async -> Void) -> some ApplicationProtocol {
        let port = configuration.port
        return Application(
            router: router(),
            server: .http1(configuration: .init(additionalChannelHandlers: [DisconnectDetector()])),
            configuration: ApplicationConfiguration(
                address: .hostname(configuration.host, port: port), serverName: "lightllm"),
            onServerRunning: { channel in await onRunning(channel.localAddress?.port ?? port) },
            logger: logger)
    }

    /// Serves until the process is told to stop (SIGINT, SIGTERM).
    public func run(onRunning: @escaping @Sendable (Int) async -> Void) async throws {
        // Stopped from the last to the first: the engine lets go of its requests, then the server of its
        // connections.
        let group = ServiceGroup(
            services: [application(onRunning: onRunning), EngineShutdown(engine: generator.engine)],
            gracefulShutdownSignals: [.sigterm, .sigint], logger: logger)
        try await group.run()
    }

    /// What answers requests.
    func router() -> Router<ServerContext> {
        let router = Router(context: ServerContext.self)
        router.add(middleware: RequestIdentity())
        router.add(middleware: Authentication(keys: configuration.keys))
        router.add(middleware: UnknownPath())
        addInformationRoutes(router)
        addGenerateRoutes(router)
        addOpenAIRoutes(router)
        addResponsesRoute(router)
        addAnthropicRoutes(router)
        addScoreRoute(router)
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
                    buffer = try await request.body.collect(upTo: configuration.largestBody)
                } catch is NIOTooManyBytesError {
                    throw APIError(
                        status: .contentTooLarge,
                        message: "the body is larger than \(configuration.largestBody) bytes")
                }
                return try await handler(try JSONValue(parsing: Array(buffer.readableBytesView)), context)
            } catch {
                let error = APIError(error)
                metrics.countFailure()
                logger.info(
                    "request refused",
                    metadata: ["status": "\(error.status.code)", "reason": "\(error.message)"])
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
                streams.append(
                    try generator.generate(request.of(context.tenant, timeout: configuration.queueTimeout)))
            }
        } catch {
            for stream in streams { stream.cancel() }
            throw error
        }
        context.cancelOnDisconnect(streams)
        return streams
    }
}

/// Ends what is being generated once the server is asked to stop, so that it does not wait for long answers.
private struct EngineShutdown: Service {
    let engine: Engine

    func run() async throws {
        try await gracefulShutdown()
        engine.stop()
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
