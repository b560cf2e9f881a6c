import AsyncHTTPClient
import Foundation
import NIOCore
import NIOHTTP1

/// Fetches the content of one file into the cache: what an earlier attempt left is kept and the rest asked for, and
/// nothing becomes a content whose checksum is not the expected one.
struct FileDownload: Sendable {
    let file: RemoteFile
    let url: String
    let name: RepositoryName
    let cache: RepositoryCache
    let transport: HubTransport
    let onEvent: @Sendable (PullEvent) -> Void

    func run() async throws {
        let lock = try await cache.lock(file.digest) { onEvent(.waiting(file.path.description)) }
        try await withLock()
        // Held until here.
        _ = consume lock
    }

    private func withLock() async throws {
        if cache.holds(file) {
            // Somebody else has fetched it meanwhile.
            onEvent(.received(file.size))
            return
        }
        let output = try OutputFile(appendingTo: cache.partial(file.digest))
        var progress = Progress(digest: RunningDigest(like: file.digest, size: file.size))
        try takeRest(&progress, output)
        var isSecondTry = false
        while true {
            let resumed = progress.resumed
            try await fetchRest(&progress, output)
            let found = progress.digest.hex
            if found == file.digest.hex { break }
            try startAgain(&progress, output)
            // What was left by an earlier attempt may have been spoiled; what came just now comes no better.
            guard resumed > 0, !isSecondTry else {
                unlink(cache.partial(file.digest))
                throw HubError.checksum(
                    file: file.path.description, expected: file.digest.hex, found: found)
            }
            isSecondTry = true
        }
        try output.synchronize()
        try cache.keep(file.digest)
    }

    /// How far one has come.
    private struct Progress {
        var digest: RunningDigest
        var count = 0
        /// Bytes that an earlier attempt left.
        var resumed = 0
    }

    /// Takes what an earlier attempt left into the checksum.
    private func takeRest(_ progress: inout Progress, _ output: borrowing OutputFile) throws {
        let size = cache.partialSize(file)
        guard size > 0 else { return }
        guard size <= file.size, let rest = FileHandle(forReadingAtPath: cache.partial(file.digest)) else {
            return try output.truncate()
        }
        while let part = try rest.read(upToCount: 1 << 20), !part.isEmpty {
            part.withUnsafeBytes { progress.digest.update($0) }
            progress.count += part.count
        }
        progress.resumed = progress.count
        onEvent(.received(progress.count))
    }

    private func startAgain(_ progress: inout Progress, _ output: borrowing OutputFile) throws {
        onEvent(.received(-progress.count))
        try output.truncate()
        progress = Progress(digest: RunningDigest(like: file.digest, size: file.size))
    }

    /// Asks for what is missing until nothing is.
    private func fetchRest(_ progress: inout Progress, _ output: borrowing OutputFile) async throws {
        var schedule = RetrySchedule(transport.settings.retries)
        while progress.count < file.size {
            let before = progress.count
            do {
                try await fetch(&progress, output)
            } catch let failure as PassingFailure {
                if progress.count > before { schedule.succeed() }
                try await transport.wait(&schedule, after: failure, url)
            }
        }
    }

    /// One request for what is missing.
    private func fetch(_ progress: inout Progress, _ output: borrowing OutputFile) async throws {
        let response = try await transport.get(
            url, from: progress.count, about: name, file: file.path.description)
        if progress.count > 0 {
            let range = response.headers.first(name: "content-range") ?? ""
            // A server that knows no ranges sends everything.
            if response.status != .partialContent || !range.hasPrefix("bytes \(progress.count)-") {
                guard response.status == .ok else {
                    throw HubError.malformed(
                        address: url, expected: "bytes from \(progress.count) on", found: "'\(range)'")
                }
                try startAgain(&progress, output)
            }
        }
        let missing = file.size - progress.count
        if let length = response.headers.first(name: "content-length").flatMap({ Int($0) }) {
            guard length == missing else {
                throw HubError.size(
                    file: file.path.description, expected: file.size, found: progress.count + length)
            }
        }
        try await take(response.body, &progress, output)
        guard progress.count == file.size else {
            throw PassingFailure(reason: "\(url): \(progress.count) of \(file.size) bytes came")
        }
    }

    private func take(
        _ body: HTTPClientResponse.Body, _ progress: inout Progress, _ output: borrowing OutputFile
    ) async throws {
        var parts = body.makeAsyncIterator()
        while true {
            let next: ByteBuffer?
            do { next = try await parts.next() } catch { throw try HubTransport.passing(error) }
            guard let part = next else { return }
            guard part.readableBytes <= file.size - progress.count else {
                throw HubError.size(
                    file: file.path.description, expected: file.size,
                    found: progress.count + part.readableBytes)
            }
            try part.withUnsafeReadableBytes { bytes in
                try output.append(bytes)
                progress.digest.update(bytes)
            }
            progress.count += part.readableBytes
            onEvent(.received(part.readableBytes))
        }
    }
}
