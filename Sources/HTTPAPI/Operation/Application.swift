import Foundation
import Hummingbird
import HummingbirdCore
import HummingbirdTLS
import Logging
import NIOCore
import NIOHTTP1
import ServiceLifecycle
import Serving
import TextGeneration
import UnixSignals

extension Server {
    /// The application; `onRunning` is called with the port once it listens.
    func application(onRunning: @escaping @Sendable (Int) async -> Void) throws -> some ApplicationProtocol {
        let (port, limits, metrics) = (configuration.port, configuration.limits, metrics)
        let log = configuration.logsAccess ? logger : nil
        let onRejection = { @Sendable (rejection: Rejection) in
            metrics.countFailure()
            log?.info("refused \(rejection.status.code) \(rejection.reason)")
        }
        let plain = HTTPServerBuilder.http1(
            configuration: .init(
                additionalChannelHandlers: [
                    GuardInstaller(limits, onRejection: onRejection), DisconnectDetector(),
                ],
                httpDecoderConfiguration: .init(
                    maxHeaderFieldSize: limits.largestHeaders, maxHeaderListSize: limits.largestHeaders,
                    maxHeaderFieldCount: limits.headerCount)))
        return Application(
            router: router(),
            server: try configuration.tls.map { try .tls(plain, tlsConfiguration: $0.configuration) }
                ?? plain,
            configuration: ApplicationConfiguration(
                address: .hostname(configuration.host, port: port), serverName: "lightllm",
                availableConnectionsDelegate: .maximum(limits.connectionsThatFit, logger: logger)),
            onServerRunning: { channel in
                do {
                    try await AcceptGuard.install(on: channel)
                } catch { logger.error("the listening socket is unguarded: \(error)") }
                await onRunning(channel.localAddress?.port ?? port)
            },
            logger: logger)
    }

    /// Serves until the process is told to stop (SIGINT, SIGTERM): once to finish what runs, twice to stop at once.
    public func run(onRunning: @escaping @Sendable (Int) async -> Void) async throws {
        let signals = await UnixSignalsSequence(trapping: [.sigterm, .sigint])
        try await run(stops: signals, onRunning: onRunning)
    }

    /// Serves until `stops` has had an element, or two to stop at once.
    func run<Stops: AsyncSequence & Sendable>(
        stops: Stops, onRunning: @escaping @Sendable (Int) async -> Void
    ) async throws {
        // Stopped from the last to the first: requests end, then connections, then what reports on them.
        var services: [any Service] = []
        if let traces { services.append(traces) }
        if let gateway = configuration.pushGateway {
            services.append(
                MetricsPush(gateway: gateway, logger: logger) { metricsText })
        }
        if let interval = configuration.healthCheckInterval {
            services.append(
                HealthMonitor(
                    engine: generator.engine, stallTimeout: configuration.stallTimeout, interval: interval))
        }
        if let interval = configuration.statisticsInterval {
            services.append(StatisticsLog(engine: generator.engine, interval: interval, logger: logger))
        }
        services += [
            try application(onRunning: onRunning),
            Drain(traffic: traffic, engine: generator.engine, timeout: configuration.shutdownTimeout),
        ]
        let group = ServiceGroup(services: services, logger: logger)
        try await withThrowingTaskGroup(of: Bool.self) { tasks in
            defer { tasks.cancelAll() }
            tasks.addTask {
                try await group.run()
                return true
            }
            tasks.addTask {
                var isDraining = false
                for try await _ in stops {
                    guard !isDraining else {
                        // mpirun asks twice when a rank is gone. Those who wait for answers are to hear of that.
                        try await Task.sleep(for: .milliseconds(200))
                        if generator.engine.statistics.failure != nil { continue }
                        throw ServerFailure.interrupted
                    }
                    isDraining = true
                    await group.triggerGracefulShutdown()
                }
                return false
            }
            tasks.addTask {
                try await FailureMonitor(engine: generator.engine).run()
                return false
            }
            while let isServed = try await tasks.next(), !isServed {}
        }
    }
}
