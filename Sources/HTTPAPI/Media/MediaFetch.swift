import AsyncHTTPClient
import Foundation
import NIOCore
import NIOHTTP1

/// Fetches images from hosts that a policy names.
///
/// A host's name is asked for once, all its addresses must be admitted, and the connection goes to one of those, so that
/// nobody can have a name checked and another address used. Redirections pass the same checks.
struct MediaFetch: Sendable {
    let policy: MediaPolicy
    let network: MediaNetwork

    private static let mostRedirections = 3
    /// Addresses of a host that are tried.
    private static let mostAddresses = 3

    /// The image at `address`. What is thrown is a `MediaFailure`, or that the task was cancelled.
    func bytes(at address: WebAddress) async throws -> [UInt8] {
        guard !policy.domains.isEmpty else { throw MediaFailure.fetchesNothing }
        guard admits(address) else { throw MediaFailure.foreignHost }
        var address = address
        for _ in 0...Self.mostRedirections {
            switch try await answer(at: address) {
            case .image(let bytes): return bytes
            case .redirection(let location):
                guard let next = try? address.redirected(to: location), admits(next),
                    address.scheme == .http || next.scheme == .https
                else { throw MediaFailure.badRedirection }
                address = next
            }
        }
        throw MediaFailure.tooManyRedirections(most: Self.mostRedirections)
    }

    private func admits(_ address: WebAddress) -> Bool { policy.domains.contains { $0.admits(address.host) } }

    private enum Answer {
        case image([UInt8])
        case redirection(String)
    }

    private func answer(at address: WebAddress) async throws -> Answer {
        let candidates: [IPAddress]
        switch address.host {
        case .address(let address): candidates = [address]
        case .name(let name): candidates = await network.addresses(name)
        }
        guard !candidates.isEmpty, candidates.allSatisfy(network.admits) else { throw MediaFailure.noAddress }
        for candidate in candidates.prefix(Self.mostAddresses) {
            do {
                return try await answer(at: address, over: candidate)
            } catch let error as MediaFailure {
                throw error
            } catch {
                // The host's next address may answer.
                try Task.checkCancellation()
            }
        }
        throw MediaFailure.unreachable
    }

    private func answer(at address: WebAddress, over candidate: IPAddress) async throws -> Answer {
        var configuration = HTTPClient.Configuration()
        configuration.redirectConfiguration = .disallow
        configuration.httpVersion = .http1Only
        configuration.connectionPool.retryConnectionEstablishment = false
        let limit = TimeAmount.milliseconds(Int64(policy.timeout / .milliseconds(1)))
        (configuration.timeout.connect, configuration.timeout.read) = (limit, limit)
        if case .name(let name) = address.host { configuration.dnsOverride = [name: candidate.text] }
        // What the client reads in the address must be what was checked.
        guard URL(string: address.text)?.host?.trimmingCharacters(in: ["[", "]"]) == address.host.bareText
        else { throw MediaFailure.unreachable }
        var request = HTTPClientRequest(url: address.text)
        request.headers = ["accept": "image/*", "accept-encoding": "identity", "user-agent": "lightllm"]
        // A client for each image: which address a name stands for is a client's own setting.
        return try await HTTPClient.withHTTPClient(configuration: configuration) { http in
            let response = try await http.execute(request, deadline: .now() + limit)
            if [301, 302, 303, 307, 308].contains(response.status.code) {
                return .redirection(response.headers.first(name: "location") ?? "")
            }
            guard response.status == .ok else { throw MediaFailure.refused(status: response.status.code) }
            return .image(try await bytes(of: response))
        }
    }

    private func bytes(of response: HTTPClientResponse) async throws -> [UInt8] {
        let expected = response.headers.first(name: "content-length").flatMap { Int($0) } ?? 0
        guard expected <= policy.largestImage else { throw tooLarge(expected) }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(max(0, expected))
        for try await part in response.body {
            guard bytes.count + part.readableBytes <= policy.largestImage else { throw tooLarge(nil) }
            bytes += part.readableBytesView
        }
        return bytes
    }

    private func tooLarge(_ found: Int?) -> MediaFailure {
        .tooLarge(most: policy.largestImage, found: found, inRequest: false)
    }
}
