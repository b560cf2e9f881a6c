import HTTPTypes
import Hummingbird

/// The keys that clients must show; without any, everybody may ask.
public struct APIKeys: Sendable {
    private let keys: [[UInt8]]

    public init(_ keys: [String]) { self.keys = keys.map { Array($0.utf8) } }

    public var isEmpty: Bool { keys.isEmpty }

    /// The number of the key that `candidate` is. How long the search takes does not depend on how much of a key
    /// was guessed.
    func index(of candidate: String) -> Int? {
        let candidate = Array(candidate.utf8)
        var found: Int?
        for (index, key) in keys.enumerated() {
            var difference = UInt8(key.count == candidate.count ? 0 : 1)
            for place in candidate.indices {
                difference |= candidate[place] ^ (key.isEmpty ? 0 : key[place % key.count])
            }
            if difference == 0 { found = index }
        }
        return found
    }
}

/// Lets only those in who show a key. Whether the process lives anybody may ask.
struct Authentication: RouterMiddleware {
    let keys: APIKeys

    func handle(
        _ request: Request, context: ServerContext, next: (Request, ServerContext) async throws -> Response
    ) async throws -> Response {
        guard !keys.isEmpty, request.uri.path != "/liveness" else { return try await next(request, context) }
        guard let shown = Self.key(of: request), let index = keys.index(of: shown) else {
            var error = APIError(
                status: .unauthorized, message: "a valid API key is needed: 'Authorization: Bearer KEY'")
            error.code = "invalid_api_key"
            var response = Response.json(error.body(.openAI), status: error.status)
            response.headers[.wwwAuthenticate] = "Bearer"
            return response
        }
        var context = context
        context.tenant = "key \(index)"
        return try await next(request, context)
    }

    /// OpenAI's header, or Anthropic's.
    private static func key(of request: Request) -> String? {
        if let name = HTTPField.Name("x-api-key"), let key = request.headers[name] { return key }
        guard let value = request.headers[.authorization], value.lowercased().hasPrefix("bearer ") else {
            return nil
        }
        return String(value.dropFirst(7))
    }
}

/// Gives every response the id of its request: the client's own, or a new one.
struct RequestIdentity: RouterMiddleware {
    func handle(
        _ request: Request, context: ServerContext, next: (Request, ServerContext) async throws -> Response
    ) async throws -> Response {
        var response = try await next(request, context)
        guard let name = HTTPField.Name("x-request-id") else { return response }
        let own = request.headers[name].flatMap { $0.utf8.count <= 256 ? $0 : nil }
        response.headers[name] = own ?? context.id.description
        return response
    }
}
