import Foundation

/// Where models come from and where they are kept. The variables are those of Hugging Face's own tools.
public struct HubSettings: Sendable {
    /// `HF_ENDPOINT`: the hub, or a mirror of it.
    public var endpoint: HubAddress
    /// `HF_TOKEN`, or what the token file holds. Only ever sent to `endpoint`.
    public var token: String?
    /// `HF_HUB_CACHE`, or `hub` in `HF_HOME`: the folder that is shared with other programs.
    public var cacheFolder: String
    /// `HF_HUB_OFFLINE`: nothing but the cache is used.
    public var isOffline: Bool
    public var retries = RetryPolicy()
    /// How many files are fetched at the same time.
    public var filesAtOnce = 4

    public init(endpoint: HubAddress, token: String? = nil, cacheFolder: String, isOffline: Bool = false) {
        (self.endpoint, self.token, self.cacheFolder) = (endpoint, token, cacheFolder)
        self.isOffline = isOffline
    }

    /// Reads the variables of a process. Throws `HubError.setting` for one that means nothing.
    public init(environment: [String: String]) throws(HubError) {
        /// The first of `names` that is set and not empty; `~` is the home folder.
        func value(_ names: String...) -> String? {
            names.lazy.compactMap { environment[$0] }.first { !$0.isEmpty }
        }
        func path(_ text: String) -> String { NSString(string: text).expandingTildeInPath }

        let endpoint = value("HF_ENDPOINT") ?? "https://huggingface.co"
        guard let address = HubAddress(endpoint) else {
            throw .setting("HF_ENDPOINT", expected: "an http or https address", found: endpoint)
        }
        let caches = value("XDG_CACHE_HOME") ?? "~/.cache"
        let home = path(value("HF_HOME") ?? caches + "/huggingface")
        let token: String?
        if let given = value("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN") {
            token = given.trimmingCharacters(in: .whitespacesAndNewlines)
        } else {
            let file = path(value("HF_TOKEN_PATH") ?? home + "/token")
            token = FileManager.default.contents(atPath: file).map {
                String(decoding: $0, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
            }
        }
        if let token {
            // It becomes a line of a request's head, and must stay one.
            guard token.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
                throw .setting("HF_TOKEN", expected: "letters, digits and signs", found: "other characters")
            }
        }
        self.init(
            endpoint: address, token: token.flatMap { $0.isEmpty ? nil : $0 },
            cacheFolder: path(value("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE") ?? home + "/hub"),
            isOffline: ["1", "ON", "YES", "TRUE"].contains(
                value("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")?.uppercased() ?? ""))
    }
}

/// The address of a hub, which paths are appended to.
public struct HubAddress: Sendable, Equatable, CustomStringConvertible {
    public let description: String
    let origin: Origin

    /// Nil unless `text` is an http or https address.
    public init?(_ text: String) {
        var base = text[...]
        while base.hasSuffix("/") { base.removeLast() }
        guard let url = URL(string: String(base)), let origin = Origin(url), url.query == nil,
            url.fragment == nil
        else { return nil }
        (description, self.origin) = (String(base), origin)
    }

    func url(_ path: String) -> String { description + path }
}

/// Who answers at an address. What is meant for one must not be sent to another.
struct Origin: Sendable, Equatable {
    let scheme: String
    let host: String
    let port: Int

    /// Nil unless `url` is of http or https and names a host.
    init?(_ url: URL) {
        guard let scheme = url.scheme?.lowercased(), ["http", "https"].contains(scheme),
            let host = url.host?.lowercased(), !host.isEmpty, url.user == nil, url.password == nil
        else { return nil }
        (self.scheme, self.host) = (scheme, host)
        port = url.port ?? (scheme == "https" ? 443 : 80)
    }
}
