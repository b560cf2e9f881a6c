import Crypto
import Foundation
import JSON

/// A path below a folder that leads nowhere else. File names of a hub are not to be trusted.
struct RemotePath: Sendable, Hashable, CustomStringConvertible {
    let parts: [String]

    /// Nil for anything but plain names separated by single slashes.
    init?(_ text: String) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        guard text.utf8.count <= 1024, parts.count <= 16,
            parts.allSatisfy({ !$0.isEmpty && $0 != "." && $0 != ".." && $0.utf8.count <= 255 }),
            text.unicodeScalars.allSatisfy({ $0.value >= 0x20 && $0.value != 0x7F && $0 != "\\" })
        else { return nil }
        self.parts = parts
    }

    var description: String { parts.joined(separator: "/") }
}

/// A checksum of a file's content in lowercase hexadecimal digits; also the name under which the cache keeps it.
enum ContentDigest: Sendable, Hashable {
    /// Of a large file.
    case sha256(String)
    /// Git's of a small one: SHA-1 of a line with its size and of the file.
    case gitBlob(String)

    var hex: String {
        switch self {
        case .sha256(let hex), .gitBlob(let hex): hex
        }
    }

    /// Whether `text` is so many hexadecimal digits, and so can be a file's name.
    static func isHexadecimal(_ text: String, digits: Int) -> Bool {
        text.utf8.count == digits
            && text.utf8.allSatisfy {
                (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0)
                    || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains($0)
            }
    }
}

/// A checksum that is worked out as the bytes come.
struct RunningDigest {
    private enum State {
        case sha256(SHA256)
        case sha1(Insecure.SHA1)
    }

    private var state: State

    /// Of a file of `size` bytes, by the same sum as `digest`.
    init(like digest: ContentDigest, size: Int) {
        switch digest {
        case .sha256: state = .sha256(SHA256())
        case .gitBlob:
            var sum = Insecure.SHA1()
            sum.update(data: Array("blob \(size)\0".utf8))
            state = .sha1(sum)
        }
    }

    mutating func update(_ bytes: UnsafeRawBufferPointer) {
        switch state {
        case .sha256(var sum):
            sum.update(bufferPointer: bytes)
            state = .sha256(sum)
        case .sha1(var sum):
            sum.update(bufferPointer: bytes)
            state = .sha1(sum)
        }
    }

    var hex: String {
        func digits(_ bytes: some Sequence<UInt8>) -> String {
            bytes.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
        }
        return switch state {
        case .sha256(let sum): digits(sum.finalize())
        case .sha1(let sum): digits(sum.finalize())
        }
    }
}

/// A file of a repository as the hub lists it.
struct RemoteFile: Sendable, Hashable {
    let path: RemotePath
    let size: Int
    let digest: ContentDigest

    init(path: RemotePath, size: Int, digest: ContentDigest) {
        (self.path, self.size, self.digest) = (path, size, digest)
    }

    /// An entry of the hub's list; nil for a folder. `address` is where the list came from.
    init?(_ entry: JSONValue, address: String) throws(HubError) {
        guard entry["type"]?.string == "file" else { return nil }
        let name = entry["path"]?.string ?? ""
        guard let path = RemotePath(name) else { throw .unsafeName(name) }
        let large = entry["lfs"].flatMap { $0.isNull ? nil : $0 }
        let size = (large ?? entry)["size"]?.int
        guard let size, size >= 0 else {
            throw .malformed(address: address, expected: "the size of \(name)", found: entry.serialized)
        }
        let digits = large == nil ? 40 : 64
        let hex = (large ?? entry)["oid"]?.string ?? ""
        guard ContentDigest.isHexadecimal(hex, digits: digits) else {
            throw .malformed(
                address: address, expected: "\(digits) hexadecimal digits as the checksum of \(name)",
                found: "'\(hex.prefix(100))'")
        }
        self.init(path: path, size: size, digest: large == nil ? .gitBlob(hex) : .sha256(hex))
    }
}
