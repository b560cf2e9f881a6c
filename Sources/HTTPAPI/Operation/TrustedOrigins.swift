import Foundation
import HTTPTypes
import Hummingbird

/// Which web pages may ask.
public struct CrossOriginRules: Sendable {
    /// Origins whose pages may read answers, as in `https://chat.example`; `*` stands for all.
    public var allowedOrigins: [String] = []
    /// Names besides the address itself under which requests may reach a server on the loopback interface.
    public var allowedHosts: [String] = []

    public init() {}

    func allows(_ origin: String) -> Bool { allowedOrigins.contains("*") || allowedOrigins.contains(origin) }
}

/// Refuses what a page in somebody's browser sends to a server that only this machine should reach, and answers
/// browsers that ask whether a page may ask.
///
/// A page can name the loopback address by a name of its own (DNS rebinding), so without keys the name that a
/// request was sent to must be known too.
struct TrustedOrigins: RouterMiddleware {
    private let rules: CrossOriginRules
    /// The names that the server goes by; nil when it does not matter.
    private let hosts: Set<String>?

    init(_ configuration: Server.Configuration) {
        rules = configuration.crossOrigin
        let host = configuration.host
        let isOpen = configuration.keys.isEmpty && !rules.allowedHosts.contains("*")
        hosts =
            isOpen && Self.isLoopback(host)
            ? Set((rules.allowedHosts + [host]).map { $0.lowercased() }) : nil
    }

    func handle(
        _ request: Request, context: ServerContext, next: (Request, ServerContext) async throws -> Response
    ) async throws -> Response {
        let (origin, path) = (request.headers[.origin], request.uri.path)
        if let hosts {
            let host = request.head.authority.map { Self.host(of: $0) }
            guard host.map({ Self.isLoopback($0) || hosts.contains($0) }) ?? true else {
                return Self.forbidden(
                    path, "this server is not called '\(LogText.escaped(host ?? "", limit: 64))'")
            }
            guard origin.map({ isOwn($0, hosts) || rules.allows($0) }) ?? true else {
                return Self.forbidden(path, "pages of other origins may not ask; see --cors_allow_origins")
            }
        }
        guard let origin, !rules.allowedOrigins.isEmpty else { return try await next(request, context) }
        guard rules.allows(origin) else {
            if request.isPreflight { return Self.forbidden(path, "pages of this origin may not ask") }
            return try await next(request, context)
        }
        var response = request.isPreflight ? Response(status: .noContent) : try await next(request, context)
        response.headers[.accessControlAllowOrigin] = rules.allowedOrigins.contains("*") ? "*" : origin
        response.headers[.vary] = "Origin"
        if request.isPreflight {
            response.headers[.accessControlAllowMethods] = "GET, POST, OPTIONS"
            response.headers[.accessControlAllowHeaders] =
                request.headers[named: "access-control-request-headers"] ?? "authorization, content-type"
            response.headers[.accessControlMaxAge] = "600"
        } else {
            response.headers[.accessControlExposeHeaders] = "x-request-id, x-ignored-fields, retry-after"
        }
        return response
    }

    private func isOwn(_ origin: String, _ hosts: Set<String>) -> Bool {
        guard let scheme = origin.range(of: "://") else { return false }
        let host = Self.host(of: String(origin[scheme.upperBound...]))
        return Self.isLoopback(host) || hosts.contains(host)
    }

    private static func forbidden(_ path: String, _ message: String) -> Response {
        APIError(status: .forbidden, message: message).response(ErrorStyle(path: path))
    }

    /// What stands before the port.
    static func host(of authority: String) -> String {
        let authority = authority.lowercased()
        if authority.hasPrefix("[") { return String(authority.dropFirst().prefix { $0 != "]" }) }
        return String(authority.prefix { $0 != ":" })
    }

    /// Whether only this machine reaches a host of this name.
    static func isLoopback(_ host: String) -> Bool {
        let parts = host.split(separator: ".", omittingEmptySubsequences: false)
        let isAddress = parts.count == 4 && parts[0] == "127" && parts.allSatisfy { UInt8($0) != nil }
        return isAddress || host == "localhost" || host == "::1"
    }
}

extension Request {
    fileprivate var isPreflight: Bool {
        method == .options && headers[named: "access-control-request-method"] != nil
    }
}

/// Answers paths that say something else once they are decoded as if nothing were there.
struct PlainPaths: RouterMiddleware {
    func handle(
        _ request: Request, context: ServerContext, next: (Request, ServerContext) async throws -> Response
    ) async throws -> Response {
        guard Self.isPlain(request.uri.path) else {
            throw HTTPError(.notFound)
        }
        return try await next(request, context)
    }

    /// Whether a path has no empty parts, none that lead upwards, and no characters that end a text.
    static func isPlain(_ path: String) -> Bool {
        guard path.hasPrefix("/"), let decoded = path.removingPercentEncoding else { return false }
        guard decoded.unicodeScalars.allSatisfy({ $0.value >= 0x20 && $0 != "\u{7F}" && $0 != "\\" }) else {
            return false
        }
        let parts = decoded.split(separator: "/", omittingEmptySubsequences: false).dropFirst()
        return parts.dropLast().allSatisfy { !$0.isEmpty } && parts.allSatisfy { $0 != "." && $0 != ".." }
    }
}
