import ArgumentParser
import Foundation
import HTTPAPI

/// Who may ask, and how long anything may take.
struct OperationArguments: ParsableArguments {
    @Option(
        name: .customLong("api_key"), parsing: .upToNextOption,
        help: "Keys that clients must show; also taken from LIGHTLLM_API_KEY. Better kept in a file.")
    var keys: [String] = []

    @Option(name: .customLong("api_key_file"), help: "A file of such keys, one a line.")
    var keyFile: String?

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

    func validate() throws {
        try require(
            (0...1e6).contains(queueTimeout ?? 1), "queue_timeout", "between 0 and 1000000", queueTimeout ?? 0
        )
        try require(
            (0.001...1e6).contains(stallTimeout), "stall_timeout", "between 0.001 and 1000000", stallTimeout)
        try require(!keys.contains(""), "api_key", "not empty", "an empty one")
    }

    func apply(to configuration: inout Server.Configuration) throws {
        configuration.keys = APIKeys(try allKeys())
        configuration.queueTimeout = queueTimeout.map { .milliseconds(Int($0 * 1000)) }
        configuration.stallTimeout = .milliseconds(Int(stallTimeout * 1000))
    }

    private func allKeys() throws -> [String] {
        var all = keys
        if let key = ProcessInfo.processInfo.environment["LIGHTLLM_API_KEY"], !key.isEmpty { all.append(key) }
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
