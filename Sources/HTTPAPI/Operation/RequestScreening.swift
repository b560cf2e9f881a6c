import NIOHTTP1

/// Why a request is refused before any handler sees it.
struct Rejection: Error, Equatable {
    let status: HTTPResponseStatus
    let reason: String

    init(_ status: HTTPResponseStatus, _ reason: String) { (self.status, self.reason) = (status, reason) }
}

extension ConnectionLimits {
    /// Refuses what is too large, what two readers might understand differently, and what nothing here can read.
    func screen(_ head: HTTPRequestHead) throws(Rejection) {
        guard head.version.major == 1 else {
            throw Rejection(.httpVersionNotSupported, "expected HTTP/1.1, found \(head.version)")
        }
        guard head.uri.utf8.count <= largestURL else { throw Self.longURL(largestURL) }
        guard head.method != .TRACE, head.method != .CONNECT else {
            throw Rejection(.methodNotAllowed, "\(head.method) is not supported")
        }
        let hosts = head.headers["host"]
        guard hosts.count == 1 || hosts.isEmpty && head.version.minor == 0 else {
            throw Rejection(.badRequest, "expected one Host, found \(hosts.count)")
        }
        try screenFraming(head)
        let encodings = head.headers["content-encoding"]
        guard encodings.allSatisfy({ $0.lowercased() == "identity" }) else {
            throw Rejection(.unsupportedMediaType, "bodies may not be compressed")
        }
        let expectations = head.headers["expect"]
        guard expectations.allSatisfy({ $0.lowercased() == "100-continue" }) else {
            throw Rejection(.expectationFailed, "expected Expect: 100-continue")
        }
    }

    private func screenFraming(_ head: HTTPRequestHead) throws(Rejection) {
        let lengths = head.headers["content-length"]
        let codings = head.headers["transfer-encoding"]
        guard lengths.count <= 1, lengths.isEmpty || codings.isEmpty else {
            throw Rejection(.badRequest, "the length of the body is given twice")
        }
        guard codings.isEmpty || codings.count == 1 && codings[0].lowercased() == "chunked" else {
            throw Rejection(.notImplemented, "expected Transfer-Encoding: chunked")
        }
        guard codings.isEmpty || head.version.minor > 0 else {
            throw Rejection(.badRequest, "HTTP/1.0 has no Transfer-Encoding")
        }
        guard let length = lengths.first else { return }
        guard let bytes = Int(length), bytes >= 0 else {
            throw Rejection(.badRequest, "Content-Length is no number")
        }
        guard bytes <= largestBody else { throw Self.longBody(largestBody) }
    }

    static func longURL(_ limit: Int) -> Rejection {
        Rejection(.uriTooLong, "the path and query are longer than \(limit) bytes")
    }

    static func longBody(_ limit: Int) -> Rejection {
        Rejection(.payloadTooLarge, "the body is larger than \(limit) bytes")
    }
}
