import Foundation

/// A file that grows at its end. Closed when it goes out of scope.
struct OutputFile: ~Copyable {
    private let descriptor: Int32
    private let path: String

    /// Opens the file, or makes it; what it holds stays.
    init(appendingTo path: String) throws(HubError) {
        // A link that somebody put there is not followed.
        descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0o644)
        self.path = path
        guard descriptor >= 0 else { throw Self.failure(path) }
    }

    deinit { close(descriptor) }

    func append(_ bytes: UnsafeRawBufferPointer) throws(HubError) {
        var rest = bytes
        while let start = rest.baseAddress, !rest.isEmpty {
            let written = write(descriptor, start, rest.count)
            if written < 0 {
                if errno == EINTR { continue }
                throw Self.failure(path, needed: rest.count)
            }
            rest = UnsafeRawBufferPointer(rebasing: rest[written...])
        }
    }

    func truncate() throws(HubError) {
        guard ftruncate(descriptor, 0) == 0 else { throw Self.failure(path) }
    }

    /// Returns once everything is on the disk.
    func synchronize() throws(HubError) {
        guard fsync(descriptor) == 0 else { throw Self.failure(path) }
    }

    private static func failure(_ path: String, needed: Int = 0) -> HubError {
        let code = errno
        if code == ENOSPC || code == EDQUOT {
            return .diskFull(folder: path, needed: needed, available: freeSpace(at: path) ?? 0)
        }
        return .storage(path: path, reason: String(cString: strerror(code)))
    }
}

/// Bytes that may still be written below the folder that holds `path`; nil where the system does not say.
func freeSpace(at path: String) -> Int? {
    var status = statvfs()
    let folder = NSString(string: path).deletingLastPathComponent
    guard statvfs(folder.isEmpty ? "." : folder, &status) == 0 else { return nil }
    return Int(clamping: status.f_bavail).multipliedReportingOverflow(by: Int(clamping: status.f_frsize))
        .partialValue
}

/// A lock that processes hold one after the other, in a file of its own; given back when it goes out of scope. The
/// same as that of Hugging Face's tools (`flock`).
struct FileLock: ~Copyable {
    private let descriptor: Int32

    /// Waits until the lock is free. `onWait` is called once if it is not.
    init(_ path: String, onWait: () -> Void) async throws {
        var waits = false
        while true {
            let descriptor = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0o644)
            guard descriptor >= 0 else {
                throw HubError.storage(path: path, reason: String(cString: strerror(errno)))
            }
            if flock(descriptor, LOCK_EX | LOCK_NB) == 0 {
                // Who had it before may have removed the file; then the next one locks another.
                if Self.isStill(descriptor, at: path) {
                    self.descriptor = descriptor
                    return
                }
                close(descriptor)
                continue
            }
            let reason = errno
            close(descriptor)
            guard reason == EWOULDBLOCK || reason == EINTR else {
                throw HubError.storage(path: path, reason: String(cString: strerror(reason)))
            }
            if !waits { onWait() }
            waits = true
            try await Task.sleep(for: .milliseconds(100))
        }
    }

    deinit { close(descriptor) }

    private static func isStill(_ descriptor: Int32, at path: String) -> Bool {
        var (held, found) = (stat(), stat())
        return fstat(descriptor, &held) == 0 && stat(path, &found) == 0 && held.st_ino == found.st_ino
            && held.st_dev == found.st_dev
    }
}
