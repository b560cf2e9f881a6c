/// Why a model could not be had from a hub.
public enum HubError: Error, Equatable, CustomStringConvertible {
    /// A variable of the environment, what it may hold, and what it holds.
    case setting(String, expected: String, found: String)
    /// The hub wants to know who asks.
    case unauthorized(String, hasToken: Bool)
    /// The hub knows who asks, or wants to, and the repository's terms have not been accepted.
    case gated(String, address: String, hasToken: Bool)
    case noSuchRepository(String, hasToken: Bool)
    case noSuchRevision(String, revision: String)
    case noSuchFile(String, file: String)
    /// Another status than any of these.
    case refused(address: String, status: Int, message: String)
    /// No whole answer came after so many attempts.
    case unreachable(address: String, reason: String, attempts: Int)
    /// The hub's answer does not have the form that it documents.
    case malformed(address: String, expected: String, found: String)
    /// The name of a file that could lead out of the folder it belongs to.
    case unsafeName(String)
    /// A redirection that must not be followed.
    case unsafeRedirect(from: String, to: String)
    case checksum(file: String, expected: String, found: String)
    case size(file: String, expected: Int, found: Int)
    case diskFull(folder: String, needed: Int, available: Int)
    case storage(path: String, reason: String)
    /// Nothing in the repository can be loaded, or what was asked for is not there.
    case noFiles(String, wanted: String, found: [String])
    /// Several models are there and nothing says which is meant.
    case ambiguous(String, choices: [String])
    /// Offline, and not in the cache.
    case notCached(String, folder: String)

    public var description: String {
        switch self {
        case .setting(let name, let expected, let found):
            "\(name): expected \(expected), found '\(found)'"
        case .unauthorized(let name, let hasToken):
            "\(name): the hub answers 401. " + Self.advice(hasToken)
        case .gated(let name, let address, let hasToken):
            "\(name) is gated (403): accept its terms at \(address). " + Self.advice(hasToken)
        case .noSuchRepository(let name, let hasToken):
            "\(name): the hub has no such repository, or it is private. " + Self.advice(hasToken)
        case .noSuchRevision(let name, let revision):
            "\(name): there is no revision '\(revision)'"
        case .noSuchFile(let name, let file):
            "\(name): there is no file '\(file)'"
        case .refused(let address, let status, let message):
            "\(address): expected status 200, found \(status) \(message)"
        case .unreachable(let address, let reason, let attempts):
            "\(address): no answer in \(attempts) attempts: \(reason)"
        case .malformed(let address, let expected, let found):
            "\(address): expected \(expected), found \(found)"
        case .unsafeName(let name):
            "the hub names a file '\(name.prefix(200))', which is no plain path below a folder"
        case .unsafeRedirect(let from, let to):
            "\(from) redirects to \(to.prefix(300)): expected http or https, and no step from https to http"
        case .checksum(let file, let expected, let found):
            "\(file): expected the checksum \(expected), found \(found)"
        case .size(let file, let expected, let found):
            "\(file): expected \(expected) bytes, found \(found)"
        case .diskFull(let folder, let needed, let available):
            "\(folder): the disk is full: \(needed) bytes are needed and \(available) are free"
        case .storage(let path, let reason):
            "\(path): \(reason)"
        case .noFiles(let name, let wanted, let found):
            "\(name): expected \(wanted), found \(Self.list(found))"
        case .ambiguous(let name, let choices):
            "\(name) holds several models; name one as \(name):\(choices.first ?? "") of \(Self.list(choices))"
        case .notCached(let name, let folder):
            "\(name) is not in \(folder), and HF_HUB_OFFLINE forbids to fetch it"
        }
    }

    private static func advice(_ hasToken: Bool) -> String {
        hasToken
            ? "The token of HF_TOKEN or of the token file does not give access."
            : "Set HF_TOKEN to a token that may read it."
    }

    private static func list(_ names: [String]) -> String {
        guard !names.isEmpty else { return "no files" }
        let rest = names.count > 40 ? " and \(names.count - 40) more" : ""
        return names.prefix(40).joined(separator: ", ") + rest
    }
}
