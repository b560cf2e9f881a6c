/// A repository of a hub and the revision of it that is meant: `OWNER/NAME` or `OWNER/NAME@REVISION`.
public struct RepositoryName: Sendable, Equatable, CustomStringConvertible {
    public let owner: String
    public let name: String
    public let revision: String

    /// Nil when `text` does not have the form.
    public init?(_ text: String) {
        let halves = text.split(separator: "@", maxSplits: 1, omittingEmptySubsequences: false)
        let parts = halves[0].split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        let revision = halves.count > 1 ? String(halves[1]) : "main"
        guard parts.count == 2, (parts + [revision]).allSatisfy(Self.isPlain) else { return nil }
        (owner, name, self.revision) = (parts[0], parts[1], revision)
    }

    /// Whether a part can stand in an address and in a file name as it is.
    private static func isPlain(_ part: String) -> Bool {
        !part.isEmpty && !part.hasPrefix(".") && !part.contains("..") && part.utf8.count <= 96
            && part.unicodeScalars.allSatisfy {
                $0.isASCII
                    && ($0.properties.isAlphabetic || $0.properties.numericType != nil
                        || "-_.".unicodeScalars.contains($0))
            }
    }

    public var description: String { "\(owner)/\(name)@\(revision)" }
}
