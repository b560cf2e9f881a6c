import Foundation

/// The part of the cache that belongs to one repository, laid out as Hugging Face's tools do:
///
///     models--OWNER--NAME/blobs/CHECKSUM             contents
///     models--OWNER--NAME/refs/REVISION              the commit that a branch or tag was last found at
///     models--OWNER--NAME/snapshots/COMMIT/PATH      links to contents
struct RepositoryCache: Sendable {
    let folder: String
    private let locks: String
    private let name: RepositoryName

    init(_ name: RepositoryName, in root: String) {
        let entry = "models--" + name.id.replacing("/", with: "--")
        (folder, locks, self.name) = (root + "/" + entry, root + "/.locks/" + entry, name)
    }

    func blob(_ digest: ContentDigest) -> String { folder + "/blobs/" + digest.hex }

    func snapshot(_ commit: String) -> String { folder + "/snapshots/" + commit }

    private var reference: String { folder + "/refs/" + name.revision }

    /// Makes the folders that are written to.
    func prepare(commit: String) throws(HubError) {
        for path in [folder + "/blobs", snapshot(commit), locks] { try makeFolder(path) }
    }

    /// Whether the content of `file` is there.
    func holds(_ file: RemoteFile) -> Bool {
        let attributes = try? FileManager.default.attributesOfItem(atPath: blob(file.digest))
        return (attributes?[.size] as? NSNumber)?.intValue == file.size
    }

    /// How much of `file` an earlier attempt left.
    func partialSize(_ file: RemoteFile) -> Int {
        let attributes = try? FileManager.default.attributesOfItem(atPath: partial(file.digest))
        return (attributes?[.size] as? NSNumber)?.intValue ?? 0
    }

    func partial(_ digest: ContentDigest) -> String { blob(digest) + ".incomplete" }

    /// Held while a content is fetched, so that two processes do not fetch the same.
    func lock(_ digest: ContentDigest, onWait: () -> Void) async throws -> FileLock {
        try await FileLock(locks + "/" + digest.hex + ".lock", onWait: onWait)
    }

    /// Makes a whole partial content the content.
    func keep(_ digest: ContentDigest) throws(HubError) {
        guard rename(partial(digest), blob(digest)) == 0 else {
            throw .storage(path: blob(digest), reason: String(cString: strerror(errno)))
        }
    }

    /// Links the name of `file` in the snapshot of `commit` to its content.
    func link(_ file: RemoteFile, in commit: String) throws(HubError) {
        let path = snapshot(commit) + "/" + file.path.description
        let parent = NSString(string: path).deletingLastPathComponent
        try makeFolder(parent)
        // Nothing that lies in the cache leads out of it.
        guard let real = realPath(parent), let root = realPath(snapshot(commit)),
            real == root || real.hasPrefix(root + "/")
        else { throw .unsafeName(file.path.description) }
        let up = String(repeating: "../", count: file.path.parts.count + 1)
        let target = up + "blobs/" + file.digest.hex
        if (try? FileManager.default.destinationOfSymbolicLink(atPath: path)) == target { return }
        try replace(path) { symlink(target, $0) }
    }

    /// Remembers where the revision is.
    func record(commit: String) throws(HubError) {
        guard name.revision != commit else { return }
        try makeFolder(NSString(string: reference).deletingLastPathComponent)
        try replace(reference) { temporary in
            FileManager.default.createFile(atPath: temporary, contents: Data(commit.utf8)) ? 0 : -1
        }
    }

    /// The commit that the revision was last found at; nil when nothing of it is there.
    func recordedCommit() -> String? {
        let commit: String
        if ContentDigest.isHexadecimal(name.revision, digits: 40) {
            commit = name.revision
        } else {
            guard let data = FileManager.default.contents(atPath: reference) else { return nil }
            commit = String(decoding: data, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
        }
        guard ContentDigest.isHexadecimal(commit, digits: 40),
            FileManager.default.fileExists(atPath: snapshot(commit))
        else { return nil }
        return commit
    }

    /// The paths of the files in a snapshot whose contents are there.
    func files(in commit: String) -> [String] {
        let root = snapshot(commit)
        let all = FileManager.default.enumerator(atPath: root)?.compactMap { $0 as? String } ?? []
        return all.filter { path in
            var isFolder: ObjCBool = false
            return FileManager.default.fileExists(atPath: root + "/" + path, isDirectory: &isFolder)
                && !isFolder.boolValue && RemotePath(path) != nil
        }.sorted()
    }

    private func makeFolder(_ path: String) throws(HubError) {
        do {
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        } catch { throw .storage(path: path, reason: "the folder cannot be made") }
    }

    /// Makes something beside `path` and puts it there at once.
    private func replace(_ path: String, _ make: (String) -> Int32) throws(HubError) {
        let temporary = path + "." + UUID().uuidString
        guard make(temporary) == 0, rename(temporary, path) == 0 else {
            let reason = String(cString: strerror(errno))
            unlink(temporary)
            throw .storage(path: path, reason: reason)
        }
    }

    private func realPath(_ path: String) -> String? {
        guard let resolved = realpath(path, nil) else { return nil }
        defer { free(resolved) }
        return String(cString: resolved)
    }
}
