import Foundation
import Tensors

/// A file mapped into memory, read-only.
final class MappedFile: @unchecked Sendable {
    // Unsafe: the mapping is private and read-only, and lasts until the last `HostBytes` lets go of this.
    private let address: UnsafeMutableRawPointer
    let count: Int
    let path: String

    init(_ path: String) throws(CheckpointError) {
        let descriptor = open(path, O_RDONLY)
        guard descriptor >= 0 else { throw .notFound(path) }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_size > 0 else {
            throw .malformed(file: path, "the file is empty")
        }
        let mapped = mmap(nil, Int(status.st_size), PROT_READ, MAP_PRIVATE, descriptor, 0)
        guard let mapped, mapped != MAP_FAILED else {
            throw .malformed(file: path, "cannot be mapped: \(String(cString: strerror(errno)))")
        }
        (address, count, self.path) = (mapped, Int(status.st_size), path)
    }

    deinit { munmap(address, count) }

    var bytes: HostBytes { HostBytes(start: UnsafeRawPointer(address), count: count, owner: self) }
}

extension MappedFile: EvictableMemory {
    func evict(_ start: UnsafeRawPointer, _ count: Int) {
        let page = Int(sysconf(Int32(_SC_PAGESIZE)))
        let first = (Int(bitPattern: start) + page - 1) / page * page
        let last = (Int(bitPattern: start) + count) / page * page
        guard last > first, let address = UnsafeMutableRawPointer(bitPattern: first) else { return }
        // Read-only pages of a file: the next access maps them again.
        madvise(address, last - first, MADV_DONTNEED)
    }
}

/// What a path leads to.
enum FileKind {
    case missing
    case file
    /// The names of the folder's entries, sorted.
    case folder([String])

    init(at path: String) {
        var isFolder: ObjCBool = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
            self = .missing
            return
        }
        guard isFolder.boolValue else {
            self = .file
            return
        }
        self = .folder(((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).sorted())
    }
}

/// Reads little-endian values from bytes one after the other, never past the end.
struct ByteReader {
    let source: HostBytes
    private(set) var position: Int
    private let file: String

    init(_ source: HostBytes, at position: Int = 0, file: String) {
        (self.source, self.position, self.file) = (source, position, file)
    }

    var remaining: Int { source.count - position }

    mutating func skip(_ count: Int) throws(CheckpointError) {
        guard count >= 0, count <= remaining else { throw endReached(count) }
        position += count
    }

    mutating func integer<T: FixedWidthInteger>(_: T.Type = T.self) throws(CheckpointError) -> T {
        let size = MemoryLayout<T>.size
        guard size <= remaining else { throw endReached(size) }
        defer { position += size }
        return T(littleEndian: source.bytes.loadUnaligned(fromByteOffset: position, as: T.self))
    }

    /// A 64-bit count that must fit an `Int`.
    mutating func count() throws(CheckpointError) -> Int {
        let value: UInt64 = try integer()
        guard let count = Int(exactly: value) else {
            throw .malformed(file: file, "a length of \(value) cannot be right")
        }
        return count
    }

    mutating func take(_ count: Int) throws(CheckpointError) -> HostBytes {
        let start = position
        try skip(count)
        return source[start..<start + count]
    }

    mutating func string(_ count: Int) throws(CheckpointError) -> String {
        String(decoding: try take(count).bytes, as: UTF8.self)
    }

    private func endReached(_ wanted: Int) -> CheckpointError {
        .malformed(file: file, "ends at byte \(source.count); expected \(wanted) more bytes at \(position)")
    }
}

/// The number of elements of a shape; nil when it overflows or a dimension is negative.
func elementCount(_ shape: [Int]) -> Int? {
    var count = 1
    for dimension in shape {
        let (product, overflow) = count.multipliedReportingOverflow(by: dimension)
        guard !overflow, dimension >= 0 else { return nil }
        count = product
    }
    return count
}
