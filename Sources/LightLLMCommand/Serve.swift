import ArgumentParser
import Foundation
import Layers
import HTTPAPI
import Hummingbird
import LightLLM
import Logging
import Serving
import TextGeneration

struct Serve: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Serve a model over HTTP.")

    @OptionGroup var arguments: ServeArguments
    @OptionGroup var operation: OperationArguments
    @OptionGroup var native: NativeArguments
    @OptionGroup var embedding: EmbeddingArguments
    @OptionGroup var startup: StartupArguments
    @OptionGroup var media: MediaArguments

    func validate() throws { try startup.validate(maxRequestTokens: arguments.maxRequestTokens) }

    func run() async throws {
        let ranks = try RankProcess.join(arguments.ranks)
        let start = ContinuousClock.now
        let environment = try ServerEnvironment(ProcessInfo.processInfo.environment)
        startup.bootstrapLog()
        if arguments.trustsRemoteCode {
            write("--trust_remote_code: architectures are part of this program; no code of a model runs\n")
        }
        let media = try media.options(ProcessInfo.processInfo.environment)
        var options = try arguments.options()
        embedding.apply(to: &options)
        options.truncation = startup.truncation
        options.engine.threads = options.engine.threads ?? ranks?.threads
        let path = try await localModel(arguments.modelDirectory)
        ranks?.endWithGroup()
        if let ranks, ranks.isFollower { return try ranks.follow(path, options.engine) }
        options.engine.images = media.engine
        let loaded = try LoadedTextModel(path: path, options: options, group: ranks?.group)
        var generator = loaded.generator
        environment.apply(to: &generator)
        guard !arguments.usesRewardModel || generator.engine.scoresTexts else {
            throw ValidationError("--use_reward_model: \(loaded.modelType) is no reward model")
        }
        if media.isEnabled, !generator.takesImages {
            write("--enable_multimodal: \(loaded.modelType) reads text; requests with images are refused\n")
        }
        report(loaded, generator.engine.configuration)
        let warming = ContinuousClock.now
        try await generator.warmUp()
        let firstToken = ContinuousClock.now
        write(
            "  first token \(seconds(firstToken - warming)); ready \(seconds(firstToken - start)) after the start\n"
        )
        var configuration = Server.Configuration()
        (configuration.host, configuration.port) = (arguments.host, arguments.port)
        (configuration.modelName, configuration.defaultMaxTokens) = (
            arguments.servedName, arguments.defaultMaxTokens
        )
        try operation.apply(to: &configuration)
        native.apply(to: &configuration)
        startup.apply(to: &configuration)
        if generator.takesImages {
            configuration.media = media.policy
            // Images are larger than texts.
            configuration.limits.largestBody = operation.limits.largestBody ?? 64 << 20
        }
        environment.apply(to: &configuration)
        if !generator.engine.scoresTexts, options.engine.head != .none {
            // The first request that asks for a form of its answer would wait for it.
            Task.detached(priority: .background) { [constraints = generator.constraints] in
                constraints.prepare()
            }
        }
        let server = Server(generator, configuration: configuration, logger: Logger(label: "lightllm"))
        let (host, model) = (arguments.host, arguments.servedName)
        let scheme = configuration.tls == nil ? "http" : "https"
        try await server.run { port in announce(scheme, host, port, model) }
        options.engine.trace?.flush()
        try await ranks?.leave(generator.engine)
    }

    private func report(_ loaded: LoadedTextModel, _ engine: EngineConfiguration) {
        write("LightLLM: \(loaded.modelType) on \(loaded.backendName)\n")
        write("  \(engine.slots) token slots, \(engine.maxRequestTokens) tokens a request at most\n")
        let phases = loaded.phases.map { "\($0.name) \(String(format: "%.3f", $0.seconds)) s" }
        write("  loaded: \(phases.joined(separator: ", "))\n")
    }

    private func seconds(_ duration: Duration) -> String { String(format: "%.3f s", duration / .seconds(1)) }
}

/// The lines that scripts wait for, and one to try.
private func announce(_ scheme: String, _ host: String, _ port: Int, _ model: String) {
    write("INFO:     Application startup complete.\n")
    write("INFO:     Uvicorn running on \(scheme)://\(host):\(port) (Press CTRL+C to quit)\n\n")
    let address = host == "0.0.0.0" ? "127.0.0.1" : host
    write(
        """
        Try it:
          curl \(scheme)://\(address):\(port)/v1/chat/completions -H 'Content-Type: application/json' \\
            -d '{"model": "\(model)", "messages": [{"role": "user", "content": "Why is the sky blue?"}], "temperature": 0}'


        """)
}
