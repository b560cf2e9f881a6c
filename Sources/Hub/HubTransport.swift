import AsyncHTTPClient
import Foundation
import JSON
import NIOCore
import NIOHTTP1

/// Requests to a hub, and to where it redirects.
struct HubTransport: Sendable {
    let http: HTTPClient
    var settings: HubSettings
    /// Told why and for how long an attempt is put off.
    let onRetry: @Sendable (String, Duration) -> Void

    private static let mostRedirects = 8

    /// Redirections are followed here, so that what is for the hub alone does not go along.
    static func configuration() -> HTTPClient.Configuration {
        var configuration = HTTPClient.Configuration()
        configuration.redirectConfiguration = .disallow
        configuration.timeout.connect = .seconds(20)
        configuration.timeout.read = .seconds(60)
        configuration.httpVersion = .http1Only
        // Attempts are counted here; the client would make its own until the time to connect is over.
        configuration.connectionPool.retryConnectionEstablishment = false
        return configuration
    }

    /// The JSON document at `url`, and the address of its next page if there are several.
    func document(_ url: String, about name: RepositoryName) async throws -> (json: JSONValue, next: String?)
    {
        try await retrying(url) { () async throws -> (JSONValue, String?) in
            let response = try await get(url, about: name)
            let body: ByteBuffer
            do {
                body = try await response.body.collect(upTo: 1 << 26)
            } catch is NIOTooManyBytesError {
                throw HubError.malformed(address: url, expected: "at most 64 MiB", found: "more")
            } catch {
                throw try Self.passing(error)
            }
            do {
                return (try JSONValue(parsing: Array(body.readableBytesView)), Self.nextPage(response))
            } catch {
                throw HubError.malformed(address: url, expected: "a JSON document", found: "\(error)")
            }
        }
    }

    /// Runs `attempt` until it brings something or fails in a way that will not pass.
    func retrying<Value>(
        _ url: String, _ attempt: () async throws -> Value
    ) async throws -> Value {
        var schedule = RetrySchedule(settings.retries)
        while true {
            do { return try await attempt() } catch let failure as PassingFailure {
                try await wait(&schedule, after: failure, url)
            }
        }
    }

    /// Waits for the next attempt, or throws when there have been enough.
    func wait(_ schedule: inout RetrySchedule, after failure: PassingFailure, _ url: String) async throws {
        guard let pause = schedule.pause(after: failure) else {
            throw HubError.unreachable(address: url, reason: failure.reason, attempts: schedule.failures)
        }
        onRetry(failure.reason, pause)
        try await Task.sleep(for: pause)
    }

    /// One attempt at `url`, from the byte `offset` on; the answer has status 200, or 206 for a part.
    func get(
        _ url: String, from offset: Int = 0, about name: RepositoryName, file: String? = nil
    ) async throws -> HTTPClientResponse {
        var address = url
        for _ in 0...Self.mostRedirects {
            guard let target = URL(string: address), let origin = Origin(target) else {
                throw HubError.unsafeRedirect(from: url, to: address)
            }
            let response = try await send(address, to: origin, from: offset)
            guard [301, 302, 303, 307, 308].contains(response.status.code) else {
                try await check(response, address, name, file)
                return response
            }
            let location = response.headers.first(name: "location") ?? ""
            guard let next = URL(string: location, relativeTo: target)?.absoluteURL,
                let nextOrigin = Origin(next), origin.scheme == "http" || nextOrigin.scheme == "https"
            else { throw HubError.unsafeRedirect(from: address, to: location) }
            address = next.absoluteString
        }
        throw HubError.refused(
            address: url, status: 310, message: "after \(Self.mostRedirects) redirections")
    }

    private func send(_ url: String, to origin: Origin, from offset: Int) async throws -> HTTPClientResponse {
        var request = HTTPClientRequest(url: url)
        request.headers.add(name: "user-agent", value: "lightllm")
        // A compressed body would be neither of the size nor of the checksum that is expected.
        request.headers.add(name: "accept-encoding", value: "identity")
        if offset > 0 { request.headers.add(name: "range", value: "bytes=\(offset)-") }
        if let token = settings.token, origin == settings.endpoint.origin {
            request.headers.add(name: "authorization", value: "Bearer \(token)")
        }
        do {
            return try await http.execute(request, timeout: .seconds(60))
        } catch {
            throw try Self.passing(error)
        }
    }

    /// What a broken connection is; a task that was cancelled stays that.
    static func passing(_ error: any Error) throws -> PassingFailure {
        try Task.checkCancellation()
        return PassingFailure(reason: "\(error)")
    }

    /// Throws what an answer's status means unless it is a good one.
    private func check(
        _ response: HTTPClientResponse, _ url: String, _ name: RepositoryName, _ file: String?
    ) async throws {
        let status = Int(response.status.code)
        if [200, 206].contains(status) { return }
        // Small bodies are read so that their connection can serve again.
        let body = try? await response.body.collect(upTo: 1 << 16)
        let code = response.headers.first(name: "x-error-code") ?? ""
        let message =
            response.headers.first(name: "x-error-message") ?? body.map { String(buffer: $0) } ?? ""
        let hasToken = settings.token != nil
        switch (status, code) {
        case (408, _), (425, _), (429, _), (500..., _):
            throw PassingFailure(
                reason: "\(url): status \(status)",
                retryAfter: response.headers.first(name: "retry-after").flatMap { Int($0) }
                    .map { .seconds(min(max($0, 0), 86_400)) })
        case (_, "GatedRepo"), (403, _):
            throw HubError.gated(
                name.id, address: settings.endpoint.url("/" + name.id), hasToken: hasToken)
        case (_, "RevisionNotFound"):
            throw HubError.noSuchRevision(name.id, revision: name.revision)
        case (_, "RepoNotFound"): throw HubError.noSuchRepository(name.id, hasToken: hasToken)
        case (401, _): throw HubError.unauthorized(name.id, hasToken: hasToken)
        case (404, _):
            if let file { throw HubError.noSuchFile(name.id, file: file) }
            throw HubError.noSuchRepository(name.id, hasToken: hasToken)
        default:
            throw HubError.refused(address: url, status: status, message: String(message.prefix(300)))
        }
    }

    /// The address after `rel="next"` in a header such as `<https://…?cursor=…>; rel="next"` (RFC 8288).
    private static func nextPage(_ response: HTTPClientResponse) -> String? {
        for link in response.headers[canonicalForm: "link"] {
            let parts = link.split(separator: ";").map { $0.trimmingPrefix(while: \.isWhitespace) }
            guard let address = parts.first, address.hasPrefix("<"), address.hasSuffix(">") else { continue }
            if parts.dropFirst().contains(where: { $0 == "rel=\"next\"" || $0 == "rel=next" }) {
                return String(address.dropFirst().dropLast())
            }
        }
        return nil
    }
}

/// `text` as a part of an address's path: everything but letters, digits and `-._~` as percent signs and digits.
func percentEncoded(_ text: String) -> String {
    text.utf8.reduce(into: "") { result, byte in
        let character = Character(UnicodeScalar(byte))
        if byte < 0x80, character.isLetter || character.isNumber || "-._~".contains(character) {
            result.append(character)
        } else {
            result += "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
        }
    }
}
