import Crypto
import HTTPTypes
import Hummingbird

/// The keys that clients must show; without any, everybody may ask.
public struct APIKeys: Sendable {
    private let digests: [SHA256Digest]

    public init(_ keys: [String]) { digests = keys.map { SHA256.hash(data: Array($0.utf8)) } }

    public var isEmpty: Bool { digests.isEmpty }

    /// The number of the key that `candidate` is. Digests are compared in constant time, all of them, so how long
    /// the search takes does not depend on how much of a key was guessed.
    func index(of candidate: String) -> Int? {
        let digest = SHA256.hash(data: Array(candidate.utf8))
        var found: Int?
        for (index, key) in digests.enumerated() where key == digest { found = index }
        return found
    }
}

/// Lets only those in who show a key. Whether the process lives and is ready anybody may ask.
struct Authentication: RouterMiddleware {
    let keys: APIKeys

    /// What load balancers and supervisors ask.
    static let openPaths: Set<String> = ["/liveness", "/readiness", "/health", "/healthz"]

    func handle(
        _ request: Request, context: ServerContext, next: (Request, ServerContext) async throws -> Response
    ) async throws -> Response {
        guard !keys.isEmpty, !Self.openPaths.contains(request.uri.path) else {
            return try await next(request, context)
        }
        guard let shown = Self.key(of: request), let index = keys.index(of: shown) else {
            var error = APIError(
                status: .unauthorized, message: "a valid API key is needed: 'Authorization: Bearer KEY'")
            error.code = "invalid_api_key"
            var response = error.response(ErrorStyle(path: request.uri.path))
            response.headers[.wwwAuthenticate] = "Bearer"
            return response
        }
        var context = context
        context.tenant = "key \(index)"
        return try await next(request, context)
    }

    /// OpenAI's header, or Anthropic's.
    private static func key(of request: Request) -> String? {
        if let key = request.headers[named: "x-api-key"] { return key }
        guard let value = request.headers[.authorization], value.prefix(7).lowercased() == "bearer " else {
            return nil
        }
        return String(value.dropFirst(7))
    }
}

extension ErrorStyle {
    /// That of a route, for errors which its handler never sees.
    init(path: String) { self = path.hasPrefix("/v1/messages") ? .anthropic : .openAI }
}

extension HTTPFields {
    /// A field whose name HTTPTypes has no constant for.
    subscript(named name: String) -> String? {
        get { HTTPField.Name(name).flatMap { self[$0] } }
        set { if let name = HTTPField.Name(name) { self[name] = newValue } }
    }
}
