/// What one connection may send and how long it may take, and how many there may be.
public struct ConnectionLimits: Sendable {
    /// Bytes of a request's path and query, of all its header fields, and of its body.
    public var largestURL = 8 << 10
    public var largestHeaders = 64 << 10
    public var largestBody = 8 << 20
    /// Header fields of a request.
    public var headerCount = 128
    /// From a request's first byte to the end of its headers; also how long a new connection may stay silent.
    public var headTimeout = Duration.seconds(10)
    /// From there to the end of its body.
    public var bodyTimeout = Duration.seconds(60)
    /// How long a client may not read what is being sent to it.
    public var writeTimeout = Duration.seconds(30)
    /// How long a connection may stay open without a request.
    public var idleTimeout = Duration.seconds(75)
    /// Connections at the same time; more wait to be accepted.
    public var connections = 4096
    /// How long a stream of OpenAI's or Anthropic's shape may be silent before a comment is sent in it.
    public var keepAliveInterval: Duration? = .seconds(15)

    public init() {}
}
