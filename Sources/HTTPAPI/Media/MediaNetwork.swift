import Foundation

/// What fetching images needs to know of the network.
struct MediaNetwork: Sendable {
    /// The addresses of a name, none if there are none.
    var addresses: @Sendable (_ name: String) async -> [IPAddress]
    /// Whether images may come from an address.
    var admits: @Sendable (IPAddress) -> Bool

    /// The system's names, and the internet's addresses.
    static func internet() -> MediaNetwork {
        // Asking for a name blocks, and may for long: a few threads are set aside for it.
        let threads = OperationQueue()
        threads.maxConcurrentOperationCount = 8
        return MediaNetwork(
            addresses: { name in
                (try? await blocking(on: threads) { systemAddresses(of: name) }) ?? []
            }, admits: \.isPublic)
    }

    private static func systemAddresses(of name: String) -> [IPAddress] {
        var hints = addrinfo()
        (hints.ai_family, hints.ai_flags) = (AF_UNSPEC, AI_ADDRCONFIG)
        hints.ai_socktype = streamSocket
        var first: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(name, nil, &hints, &first) == 0 else { return [] }
        defer { freeaddrinfo(first) }
        // Unsafe: a list that the system made, until it is freed.
        return sequence(first: first) { $0?.pointee.ai_next }.prefix { $0 != nil }.prefix(16)
            .compactMap { $0.flatMap { IPAddress($0.pointee) } }
    }

    private static var streamSocket: Int32 {
        #if canImport(Glibc)
            Int32(SOCK_STREAM.rawValue)
        #else
            SOCK_STREAM
        #endif
    }
}

/// Does what blocks on one of `threads`. Who is cancelled waits no longer; what runs goes on to its end.
func blocking<Value: Sendable>(
    on threads: OperationQueue, _ body: @escaping @Sendable () throws -> Value
) async throws -> Value {
    let (results, continuation) = AsyncThrowingStream<Value, any Error>.makeStream()
    threads.addOperation {
        continuation.yield(with: Result(catching: body))
        continuation.finish()
    }
    for try await result in results { return result }
    throw CancellationError()
}
