import ArgumentParser
import Foundation
import HTTPAPI

/// Who may ask, how much and how long, and who hears of it (docs/operations.md).
struct OperationArguments: ParsableArguments {
    @OptionGroup(title: "Access") var access: AccessArguments
    @OptionGroup(title: "Limits") var limits: LimitArguments
    @OptionGroup(title: "Monitoring") var monitoring: MonitoringArguments

    func apply(to configuration: inout Server.Configuration) throws {
        let environment = ProcessInfo.processInfo.environment
        try access.apply(to: &configuration, environment)
        limits.apply(to: &configuration)
        try monitoring.apply(to: &configuration, environment)
    }
}

/// Who may ask.
struct AccessArguments: ParsableArguments {
    @Option(
        name: .customLong("api_key"), parsing: .upToNextOption,
        help: "Keys that clients must show; also taken from LIGHTLLM_API_KEY. Better kept in a file.")
    var keys: [String] = []

    @Option(name: .customLong("api_key_file"), help: "A file of such keys, one a line.")
    var keyFile: String?

    @Option(
        name: .customLong("cors_allow_origins"), parsing: .upToNextOption,
        help: "Origins whose web pages may use the server, or *; by default none.")
    var origins: [String] = []

    @Option(
        name: .customLong("allowed_hosts"), parsing: .upToNextOption,
        help:
            "Names, or *, under which a server on the loopback interface without keys may be reached, as through a proxy."
    )
    var hosts: [String] = []

    @Option(name: .customLong("ssl_certfile"), help: "A PEM file with the certificate to serve HTTPS with.")
    var certificateFile: String?

    @Option(name: .customLong("ssl_keyfile"), help: "A PEM file with its private key.")
    var certificateKeyFile: String?

    func validate() throws {
        try require(!keys.contains(""), "api_key", "not empty", "an empty one")
        try require(
            (certificateFile == nil) == (certificateKeyFile == nil), "ssl_keyfile",
            "given with --ssl_certfile",
            "only one of them")
    }

    func apply(to configuration: inout Server.Configuration, _ environment: [String: String]) throws {
        configuration.keys = APIKeys(try allKeys(environment))
        configuration.crossOrigin.allowedOrigins = origins
        configuration.crossOrigin.allowedHosts = hosts
        guard let certificateFile, let certificateKeyFile else { return }
        do {
            configuration.tls = try TLSIdentity(certificates: certificateFile, key: certificateKeyFile)
        } catch { throw ValidationError("--ssl_certfile, --ssl_keyfile: \(error)") }
    }

    private func allKeys(_ environment: [String: String]) throws -> [String] {
        var all = keys
        if let key = environment["LIGHTLLM_API_KEY"], !key.isEmpty { all.append(key) }
        guard let keyFile else { return all }
        guard let data = FileManager.default.contents(atPath: keyFile) else {
            throw ValidationError("--api_key_file: \(keyFile): no such file")
        }
        let lines = String(decoding: data, as: UTF8.self).split(whereSeparator: \.isNewline)
            .map { $0.trimmingCharacters(in: .whitespaces) }.filter { !$0.isEmpty }
        guard !lines.isEmpty else {
            throw ValidationError("--api_key_file: \(keyFile): there is no key in it")
        }
        return all + lines
    }
}

/// How much anything may be, and how long it may take.
struct LimitArguments: ParsableArguments {
    @Option(
        name: .customLong("queue_timeout"),
        help:
            "Seconds after which a request whose turn has not come is refused with status 429; by default never."
    )
    var queueTimeout: Double?

    @Option(
        name: .customLong("stall_timeout"),
        help: "Seconds without progress after which the server calls itself unready.")
    var stallTimeout = 60.0

    @Option(
        name: .customLong("shutdown_timeout"),
        help: "Seconds that running requests get once the server is told to stop (SIGTERM, SIGINT).")
    var shutdownTimeout = 30.0

    @Option(
        name: .customLong("max_body_bytes"),
        help: "The largest body of a request; by default 8388608, or 67108864 with --enable_multimodal.")
    var largestBody: Int?

    @Option(
        name: .customLong("max_connections"),
        help: "Connections at the same time, fewer if the system allows fewer open files; more wait.")
    var connections = 4096

    @Option(
        name: .customLong("read_timeout"),
        help: "Seconds that a request's body may take to arrive; its headers may take a sixth of that.")
    var readTimeout = 60.0

    @Option(
        name: .customLong("write_timeout"),
        help: "Seconds that a client may leave unread what is sent to it.")
    var writeTimeout = 30.0

    @Option(
        name: .customLong("keep_alive_timeout"),
        help: "Seconds that a connection may stay open without a request.")
    var idleTimeout = 75.0

    @Option(
        name: .customLong("sse_keep_alive_interval"),
        help: "Seconds of silence after which streams under /v1 get a comment; 0 for never.")
    var keepAliveInterval = 15.0

    func validate() throws {
        let range = 0.001...1e6
        try require(
            (0...1e6).contains(queueTimeout ?? 1), "queue_timeout", "between 0 and 1000000", queueTimeout ?? 0
        )
        for (name, value) in [
            ("stall_timeout", stallTimeout), ("read_timeout", readTimeout), ("write_timeout", writeTimeout),
            ("keep_alive_timeout", idleTimeout),
        ] {
            try require(range.contains(value), name, "between 0.001 and 1000000", value)
        }
        for (name, value) in [
            ("shutdown_timeout", shutdownTimeout), ("sse_keep_alive_interval", keepAliveInterval),
        ] {
            try require((0...1e6).contains(value), name, "between 0 and 1000000", value)
        }
        if let largestBody {
            try require(
                (1...(1 << 30)).contains(largestBody), "max_body_bytes", "between 1 and \(1 << 30)",
                largestBody)
        }
        try require(
            (1...1_000_000).contains(connections), "max_connections", "between 1 and 1000000", connections)
    }

    func apply(to configuration: inout Server.Configuration) {
        configuration.queueTimeout = queueTimeout.map { duration($0) }
        configuration.stallTimeout = duration(stallTimeout)
        configuration.shutdownTimeout = duration(shutdownTimeout)
        if let largestBody { configuration.limits.largestBody = largestBody }
        configuration.limits.connections = connections
        configuration.limits.bodyTimeout = duration(readTimeout)
        configuration.limits.headTimeout = duration(readTimeout / 6)
        configuration.limits.writeTimeout = duration(writeTimeout)
        configuration.limits.idleTimeout = duration(idleTimeout)
        configuration.limits.keepAliveInterval = keepAliveInterval > 0 ? duration(keepAliveInterval) : nil
    }

    private func duration(_ seconds: Double) -> Duration { .milliseconds(Int(seconds * 1000)) }
}

/// Who hears of what happens.
struct MonitoringArguments: ParsableArguments {
    enum Choice: String, ExpressibleByArgument, CaseIterable {
        case on, off
    }

    @Option(name: .customLong("access_log"), help: "Whether each request gets a line in the log: on or off.")
    var accessLog = Choice.on

    @Option(
        name: .customLong("otlp_traces_endpoint"),
        help: "A URL that traces of requests are sent to, as in http://collector:4318/v1/traces.")
    var tracesEndpoint: String?

    @Flag(
        name: .customLong("health_monitor"),
        help:
            "End with a failure when the engine is found stalled three times in a row, every HEALTH_CHECK_INTERVAL_SECONDS (88)."
    )
    var monitorsHealth = false

    @Option(
        name: .customLong("metric_gateway"), help: "host:port of a Prometheus gateway to push the metrics to."
    )
    var gateway: String?

    @Option(name: .customLong("job_name"), help: "The job's name at the gateway.")
    var jobName = "lightllm"

    @Option(
        name: .customLong("grouping_key"), parsing: .upToNextOption,
        help: "key=value for the gateway; may be repeated.")
    var groupingKeys: [String] = []

    @Option(name: .customLong("push_interval"), help: "Seconds between pushes.")
    var pushInterval = 10

    @Flag(
        name: .customLong("enable_monitor_auth"),
        help: "Show the gateway the name and password in USERNAME and PASSWORD.")
    var authenticates = false

    func validate() throws {
        try require(
            (1...1_000_000).contains(pushInterval), "push_interval", "between 1 and 1000000", pushInterval)
        for key in groupingKeys {
            let parts = key.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            try require(parts.count == 2 && !parts[0].isEmpty, "grouping_key", "key=value", key)
        }
        for (name, address) in [("otlp_traces_endpoint", tracesEndpoint), ("metric_gateway", gateway)] {
            guard let address else { continue }
            let text =
                address.contains("://") || name == "otlp_traces_endpoint" ? address : "http://" + address
            let url = URL(string: text)
            try require(
                ["http", "https"].contains(url?.scheme) && url?.host?.isEmpty == false, name, "an address",
                address)
        }
    }

    func apply(to configuration: inout Server.Configuration, _ environment: [String: String]) throws {
        configuration.logsAccess = accessLog == .on
        configuration.tracesEndpoint = tracesEndpoint
        if monitorsHealth {
            let text = environment["HEALTH_CHECK_INTERVAL_SECONDS"] ?? "88"
            guard let seconds = Double(text), (0.001...1e6).contains(seconds) else {
                throw ValidationError(
                    "HEALTH_CHECK_INTERVAL_SECONDS must be between 0.001 and 1000000, found \(text)")
            }
            configuration.healthCheckInterval = .milliseconds(Int(seconds * 1000))
        }
        guard let gateway else { return }
        var push = PushGateway(address: gateway)
        (push.job, push.interval) = (jobName, .seconds(pushInterval))
        push.groupingKeys = groupingKeys.map { key in
            let parts = key.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            return (name: String(parts[0]), value: String(parts[1]))
        }
        if authenticates {
            guard let user = environment["USERNAME"], let password = environment["PASSWORD"] else {
                throw ValidationError("--enable_monitor_auth needs USERNAME and PASSWORD in the environment")
            }
            push.credentials = (user, password)
        }
        configuration.pushGateway = push
    }
}
