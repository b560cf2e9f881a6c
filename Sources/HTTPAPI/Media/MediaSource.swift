import Foundation

/// Where the bytes of an image come from, as a request says it.
enum MediaSource: Sendable, Equatable {
    /// The request itself, as base64.
    case base64(Substring)
    case web(WebAddress)
    /// The server's own files: an absolute path.
    case file(path: String)

    /// Of a `data`, `http`, `https` or `file` URL. Errors name `field` and show no more of the URL than its beginning.
    init(url: String, field: String, parameter: String) throws(APIError) {
        let scheme = url.utf8.prefix(10).firstIndex(of: UInt8(ascii: ":")).map {
            url[..<$0].lowercased()
        }
        switch scheme {
        case "data": self = .base64(try Self.data(url, field, parameter))
        case "http", "https":
            do { self = .web(try WebAddress(url)) } catch {
                throw .invalid("\(field): \(error.description)", parameter: parameter)
            }
        case "file": self = .file(path: try Self.path(url, field, parameter))
        default:
            throw .invalid(
                "\(field) must be a data, http, https or file URL, found \(Self.beginning(of: url))",
                parameter: parameter)
        }
    }

    /// Of base64, which some clients send as a data URL.
    init(base64 text: String, field: String, parameter: String) throws(APIError) {
        guard !text.isEmpty else { throw .invalid("\(field) is empty", parameter: parameter) }
        if text.utf8.starts(with: "data:".utf8) {
            self = .base64(try Self.data(text, field, parameter))
        } else {
            self = .base64(Substring(text))
        }
    }

    /// The base64 of `data:image/png;base64,…` (RFC 2397).
    private static func data(_ url: String, _ field: String, _ parameter: String) throws(APIError)
        -> Substring
    {
        guard let comma = url.utf8.prefix(256).firstIndex(of: UInt8(ascii: ",")) else {
            throw wrongData(url, field, parameter)
        }
        let header = url[..<comma].dropFirst("data:".count).lowercased()
        let parts = header.split(separator: ";", omittingEmptySubsequences: false)
        guard parts.count > 1, parts.last == "base64", isImage(String(parts[0])) else {
            throw wrongData(url, field, parameter)
        }
        let data = url[url.utf8.index(after: comma)...]
        guard !data.isEmpty else { throw .invalid("\(field) has no data", parameter: parameter) }
        return data
    }

    private static func wrongData(_ url: String, _ field: String, _ parameter: String) -> APIError {
        .invalid(
            "\(field) must be data:image/…;base64,… if it is a data URL, found \(beginning(of: url))",
            parameter: parameter)
    }

    /// Whether data of this media type may be an image: what it is shows when it is decoded.
    static func isImage(_ mediaType: String) -> Bool {
        mediaType.isEmpty || mediaType == "application/octet-stream" || mediaType.hasPrefix("image/")
    }

    /// The path of `file:///folder/name` or `file://localhost/folder/name`.
    private static func path(_ url: String, _ field: String, _ parameter: String) throws(APIError) -> String {
        var rest = url.dropFirst("file:".count)
        if rest.hasPrefix("//localhost/") { rest = rest.dropFirst("//localhost".count) }
        if rest.hasPrefix("///") { rest = rest.dropFirst(2) }
        guard rest.utf8.count <= 4096, rest.hasPrefix("/"), !rest.hasPrefix("//"),
            !rest.contains(where: { $0 == "?" || $0 == "#" }),
            let path = String(rest).removingPercentEncoding, !path.utf8.contains(0)
        else {
            throw .invalid(
                "\(field) must be file:///… with an absolute path if it is a file URL", parameter: parameter)
        }
        return path
    }

    /// What an error shows of a text: never data.
    static func beginning(of text: String) -> String {
        let head = text.utf8.prefix { $0 != UInt8(ascii: ",") }.prefix(40)
        let isCut = head.count < text.utf8.count
        return "'\(LogText.escaped(String(decoding: head, as: UTF8.self), limit: 60))\(isCut ? "…" : "")'"
    }
}

/// An image that a request asks for.
struct MediaReference: Sendable, Equatable {
    let source: MediaSource
    /// Where the request names it: `messages[0].content[1].image_url.url`.
    let field: String
    /// The member of the body that this is in.
    let parameter: String
}
