import Foundation

/// The one folder whose files, and those of the folders in it, may be read as images.
///
/// Links that lead out of it are refused, and so is everything that is no regular file.
public final class MediaFolder: Sendable {
    /// Without links; "/" for the root.
    private let path: String
    private let descriptor: Int32

    /// Nil if there is no such folder.
    public init?(path: String) {
        guard let resolved = Self.resolved(path) else { return nil }
        let descriptor = open(resolved, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        (self.path, self.descriptor) = (resolved, descriptor)
    }

    deinit { close(descriptor) }

    /// The path without links, `.` and `..`.
    private static func resolved(_ path: String) -> String? {
        guard let resolved = realpath(path, nil) else { return nil }
        defer { free(resolved) }
        return String(validatingCString: resolved)
    }

    /// The bytes of the file at an absolute path, `most` at most.
    func bytes(of path: String, most: Int) throws(MediaFailure) -> [UInt8] {
        let root = self.path == "/" ? "/" : self.path + "/"
        guard !path.split(separator: "/").contains(".."), let resolved = Self.resolved(path),
            resolved.hasPrefix(root)
        else { throw .noSuchFile }
        let size = try Self.size(ofRegularFile: resolved)
        guard size <= most else { throw .tooLarge(most: most, found: size, inRequest: false) }
        let file = try opened(resolved.dropFirst(root.count).split(separator: "/").map(String.init))
        defer { close(file) }
        return try Self.bytes(file, expected: size, most: most)
    }

    /// Should the path lead elsewhere afterwards, what is opened is still below the folder and is read to the limit.
    private static func size(ofRegularFile path: String) throws(MediaFailure) -> Int {
        guard let attributes = try? FileManager.default.attributesOfItem(atPath: path),
            attributes[.type] as? FileAttributeType == .typeRegular,
            let size = (attributes[.size] as? NSNumber)?.intValue
        else { throw .noSuchFile }
        return size
    }

    /// Opens folder by folder what was resolved: should a part of it have become a link since, it is not followed.
    private func opened(_ names: [String]) throws(MediaFailure) -> Int32 {
        var folder = descriptor
        for (index, name) in names.enumerated() {
            let isLast = index == names.count - 1
            let flags = O_RDONLY | O_NOFOLLOW | O_CLOEXEC | (isLast ? O_NONBLOCK : O_DIRECTORY)
            let next = openat(folder, name, flags)
            if folder != descriptor { close(folder) }
            guard next >= 0 else { throw .noSuchFile }
            folder = next
        }
        guard folder != descriptor else { throw .noSuchFile }
        return folder
    }

    private static func bytes(_ file: Int32, expected: Int, most: Int) throws(MediaFailure) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(expected)
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = read(file, &buffer, buffer.count)
            guard count >= 0 else { throw .noSuchFile }
            guard count > 0 else { return bytes }
            // The file may have grown since it was measured.
            guard bytes.count + count <= most else {
                throw .tooLarge(most: most, found: nil, inRequest: false)
            }
            bytes += buffer[..<count]
        }
    }
}
