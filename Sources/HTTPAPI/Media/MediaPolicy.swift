/// Where images may come from, and how large and how many they may be.
public struct MediaPolicy: Sendable {
    /// Hosts that images are fetched from; none: nothing is fetched.
    public var domains: [MediaDomain] = []
    /// Where files are read; nil: nowhere.
    public var folder: MediaFolder?
    /// Bytes of an encoded image, and of all of a request.
    public var largestImage = 32 << 20
    public var largestRequest = 128 << 20
    /// Images of a request.
    public var mostImages = 200
    /// How long an image may take to arrive, with all redirections.
    public var timeout = Duration.seconds(3)
    /// Images that are fetched or read at the same time, of all requests together; more wait for their turn.
    public var loads = 16

    public init() {}
}

/// Hosts that images may be fetched from: `example.com` and nothing below it, or `*.example.com` (also `.example.com`),
/// all that is below it.
public struct MediaDomain: Sendable, Equatable {
    private let host: WebAddress.Host
    private let isAbove: Bool

    /// Nil for what is no name and no address of a host, or an address that is not of the internet.
    public init?(_ text: String) {
        isAbove = text.hasPrefix("*.") || text.hasPrefix(".")
        let name = isAbove ? text.drop { $0 == "*" }.dropFirst() : Substring(text)
        if name.contains(":") {
            guard let address = IPAddress(name) else { return nil }
            host = .address(address)
        } else {
            guard let host = try? WebAddress.host(name) else { return nil }
            self.host = host
        }
        if case .address(let address) = host, isAbove || !address.isPublic { return nil }
    }

    func admits(_ other: WebAddress.Host) -> Bool {
        guard isAbove, case .name(let name) = host, case .name(let whole) = other else {
            return other == host
        }
        return whole.hasSuffix("." + name)
    }
}
