/// A repository of a hub and the revision of it that is meant: `OWNER/NAME` or `OWNER/NAME@REVISION`. The oldest
/// repositories have no owner: `gpt2`.
public struct RepositoryName: Sendable, Hashable, CustomStringConvertible {
    public let owner: String?
    public let name: String
    /// A branch, a tag, a commit, or a reference such as `refs/pr/1`.
    public let revision: String

    /// Nil when `text` does not have the form.
    public init?(_ text: String) {
        let halves = text.split(separator: "@", maxSplits: 1, omittingEmptySubsequences: false)
        let parts = halves[0].split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        let revision = halves.count > 1 ? String(halves[1]) : "main"
        let steps = revision.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        guard (1...2).contains(parts.count), steps.count <= 8, (parts + steps).allSatisfy(Self.isPlain) else {
            return nil
        }
        (owner, name) = (parts.count > 1 ? parts[0] : nil, parts[parts.count - 1])
        self.revision = revision
    }

    /// What the hub calls the repository.
    public var id: String { owner.map { "\($0)/\(name)" } ?? name }

    /// Whether a part can stand in an address and in a file name as it is.
    private static func isPlain(_ part: String) -> Bool {
        !part.isEmpty && !part.hasPrefix(".") && !part.contains("..") && part.utf8.count <= 96
            && part.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"),
                    UInt8(ascii: "."):
                    true
                default: false
                }
            }
    }

    public var description: String { "\(id)@\(revision)" }
}

/// A model of a hub as a command line names it: a repository, and where it holds several GGUF files, which of them,
/// by its kind of numbers or by its name: `OWNER/NAME[@REVISION][:Q4_K_M]`.
public struct ModelReference: Sendable, Hashable, CustomStringConvertible {
    public let repository: RepositoryName
    public let variant: String?

    /// Nil when `text` does not have the form.
    public init?(_ text: String) {
        let halves = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        guard let repository = RepositoryName(String(halves[0])) else { return nil }
        let variant = halves.count > 1 ? String(halves[1]) : nil
        if let variant, RemotePath(variant) == nil { return nil }
        (self.repository, self.variant) = (repository, variant)
    }

    public var description: String { repository.description + (variant.map { ":\($0)" } ?? "") }
}
