import AsyncHTTPClient
import Foundation
import Logging
import NIOCore
import NIOHTTP1
import ServiceLifecycle

/// Where metrics are sent that nobody comes for.
public struct PushGateway: Sendable {
    /// `host:port`, or a URL.
    public var address: String
    public var job = "lightllm"
    /// More labels that name the group, in order.
    public var groupingKeys: [(name: String, value: String)] = []
    public var interval = Duration.seconds(10)
    /// A name and password.
    public var credentials: (user: String, password: String)?

    public init(address: String) { self.address = address }

    var url: String {
        let base = address.contains("://") ? address : "http://" + address
        return ([("job", job)] + groupingKeys.map { ($0.name, $0.value) })
            .reduce((base.hasSuffix("/") ? String(base.dropLast()) : base) + "/metrics") {
                $0 + "/" + Self.segment($1.0, $1.1)
            }
    }

    /// A label as the gateway's paths have it: with a slash in it, or empty, in base64.
    private static func segment(_ name: String, _ value: String) -> String {
        if value.isEmpty { return name + "@base64/=" }
        if value.contains("/") {
            let encoded = Data(value.utf8).base64EncodedString()
                .replacing("+", with: "-").replacing("/", with: "_")
            return "\(name)@base64/\(encoded)"
        }
        let plain = CharacterSet(charactersIn: "-._~").union(.alphanumerics)
        return "\(name)/\(value.addingPercentEncoding(withAllowedCharacters: plain) ?? "")"
    }
}

/// Sends the metrics to a gateway at intervals.
struct MetricsPush: Service {
    let gateway: PushGateway
    let logger: Logger
    let text: @Sendable () -> String

    func run() async throws {
        let headers: HTTPHeaders =
            gateway.credentials.map {
                ["authorization": "Basic " + Data("\($0.user):\($0.password)".utf8).base64EncodedString()]
            } ?? [:]
        var isOver = false
        while !isOver {
            isOver = await pause(gateway.interval)
            let isTaken = await deliver(
                .PUT, to: gateway.url, type: "text/plain; version=0.0.4; charset=utf-8", body: text(),
                headers: headers)
            if !isTaken { logger.warning("the gateway did not take the metrics") }
        }
    }
}

/// Sends `body`; false if it was not taken.
func deliver(
    _ method: HTTPMethod, to url: String, type: String, body: String, headers: HTTPHeaders
) async -> Bool {
    var request = HTTPClientRequest(url: url)
    (request.method, request.headers) = (method, headers)
    request.headers.add(name: "content-type", value: type)
    request.body = .bytes(ByteBuffer(string: body))
    do {
        let response = try await HTTPClient.shared.execute(request, timeout: .seconds(5))
        _ = try await response.body.collect(upTo: 1 << 20)
        return (200..<300).contains(response.status.code)
    } catch { return false }
}
