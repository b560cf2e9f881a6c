import ArgumentParser
import Foundation
import HTTPAPI
import Testing

@testable import LightLLMCommand

@Suite struct OperationFlagTests {
    private func configuration(
        _ arguments: String..., environment: [String: String] = [:]
    ) throws -> Server.Configuration {
        let command = try LightLLMCommand.parseAsRoot(
            normalizedFlags(["serve", "--model_dir", "x"] + arguments))
        let operation = try #require(command as? Serve).operation
        var configuration = Server.Configuration()
        try operation.access.apply(to: &configuration, environment)
        operation.limits.apply(to: &configuration)
        try operation.monitoring.apply(to: &configuration, environment)
        return configuration
    }

    @Test func limitsReachTheServer() throws {
        let limits = try configuration(
            "--max-body-bytes", "1000", "--max_connections=7", "--read_timeout", "6", "--write_timeout", "2",
            "--keep_alive_timeout", "0.5", "--sse_keep_alive_interval", "0"
        ).limits
        #expect(limits.largestBody == 1000 && limits.connections == 7)
        #expect(limits.bodyTimeout == .seconds(6) && limits.headTimeout == .seconds(1))
        #expect(limits.writeTimeout == .seconds(2) && limits.idleTimeout == .milliseconds(500))
        #expect(limits.keepAliveInterval == nil)
        let standard = try configuration()
        #expect(standard.limits.keepAliveInterval == .seconds(15))
        #expect(standard.shutdownTimeout == .seconds(30) && standard.logsAccess)
        #expect(standard.healthCheckInterval == nil && standard.pushGateway == nil && standard.tls == nil)
    }

    @Test func keysComeFromEverywhere() throws {
        let file = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
        try Data("  filed  \n\nother\n".utf8).write(to: file)
        defer { try? FileManager.default.removeItem(at: file) }
        #expect(try configuration().keys.isEmpty)
        for (arguments, environment) in [
            (["--api_key", "a", "b"], [:]), (["--api_key_file", file.path], [:]),
            ([], ["LIGHTLLM_API_KEY": "e"]),
        ] as [([String], [String: String])] {
            let command = try LightLLMCommand.parseAsRoot(
                normalizedFlags(["serve", "--model_dir", "x"] + arguments))
            var found = Server.Configuration()
            try #require(command as? Serve).operation.access.apply(to: &found, environment)
            #expect(!found.keys.isEmpty, "\(arguments)")
        }
    }

    @Test func monitoringReachesTheServer() throws {
        let found = try configuration(
            "--access_log", "off", "--otlp_traces_endpoint", "http://c:4318/v1/traces", "--health_monitor",
            "--metric_gateway", "gate:9091", "--job_name", "j", "--grouping_key", "a=1", "--grouping_key",
            "b=x=y",
            "--push_interval", "3", "--enable_monitor_auth",
            environment: [
                "HEALTH_CHECK_INTERVAL_SECONDS": "5", "DEBUG_HEALTHCHECK_RETURN_FAIL": "true",
                "USERNAME": "u",
                "PASSWORD": "p",
            ])
        #expect(!found.logsAccess && found.tracesEndpoint == "http://c:4318/v1/traces")
        #expect(found.healthCheckInterval == .seconds(5))
        let gateway = try #require(found.pushGateway)
        #expect(gateway.address == "gate:9091" && gateway.job == "j" && gateway.interval == .seconds(3))
        #expect(gateway.groupingKeys.map(\.name) == ["a", "b"] && gateway.groupingKeys[1].value == "x=y")
        #expect(gateway.credentials?.user == "u" && gateway.credentials?.password == "p")
    }

    @Test(arguments: [
        ["--max_body_bytes", "0"], ["--max_connections", "0"], ["--read_timeout", "0"],
        ["--write_timeout=-1"],
        ["--shutdown_timeout=-1"], ["--access_log", "maybe"], ["--otlp_traces_endpoint", "collector"],
        ["--metric_gateway", ""], ["--grouping_key", "a"], ["--grouping_key", "=a"],
        ["--push_interval", "0"],
        ["--ssl_certfile", "x"], ["--ssl_keyfile", "x"],
    ])
    func badValuesAreRefused(_ arguments: [String]) {
        #expect(throws: (any Error).self) {
            try LightLLMCommand.parseAsRoot(normalizedFlags(["serve", "--model_dir", "x"] + arguments))
        }
    }

    @Test func badSurroundingsAreRefused() {
        #expect(throws: (any Error).self) {
            try configuration("--metric_gateway", "g:1", "--enable_monitor_auth")
        }
        #expect(throws: (any Error).self) {
            try configuration("--health_monitor", environment: ["HEALTH_CHECK_INTERVAL_SECONDS": "soon"])
        }
        #expect(throws: (any Error).self) {
            try configuration("--ssl_certfile", "/nothing", "--ssl_keyfile", "/nothing")
        }
    }
}
