import AsyncHTTPClient
import Foundation
import JSON

/// What happens while a model is fetched.
public enum PullEvent: Sendable, Equatable {
    /// What was chosen: so many files of so many bytes together, of which so many bytes are there.
    case planned(files: Int, bytes: Int, present: Int)
    /// Bytes came; a negative number takes some back.
    case received(Int)
    /// Another process fetches the file.
    case waiting(String)
    case retrying(reason: String, after: Duration)
    /// Programs of the repository, which are left where they are.
    case leftOut(programs: [String])
    /// The hub does not answer, and what the cache has is taken.
    case usesCache(reason: String)
}

/// A model in the cache.
public struct PulledModel: Sendable, Equatable {
    /// The folder of the commit's files.
    public let folder: String
    /// What a loader opens: the folder, or a GGUF file in it.
    public let path: String
    public let commit: String
}

/// A hub of models, as Hugging Face's, and the cache on this machine.
public struct ModelHub: Sendable {
    private let settings: HubSettings
    private let onEvent: @Sendable (PullEvent) -> Void

    /// The most files of a repository that are looked at.
    private static let mostFiles = 200_000

    public init(_ settings: HubSettings, onEvent: @escaping @Sendable (PullEvent) -> Void = { _ in }) {
        (self.settings, self.onEvent) = (settings, onEvent)
    }

    /// Fetches what of the selection is not in the cache. Where the hub does not answer, or nobody may ask it, what
    /// the cache has must do. Throws `HubError`.
    public func pull(_ name: RepositoryName, _ selection: FileSelection = .model) async throws -> PulledModel
    {
        let cache = RepositoryCache(name, in: settings.cacheFolder)
        if settings.isOffline {
            guard let model = try cached(cache, name, selection) else {
                throw HubError.notCached("\(name)", folder: settings.cacheFolder)
            }
            return model
        }
        return try await HTTPClient.withHTTPClient(configuration: HubTransport.configuration()) { http in
            let transport = HubTransport(http: http, settings: settings) {
                onEvent(.retrying(reason: $0, after: $1))
            }
            guard let known = try? cached(cache, name, selection) else {
                let commit = try await self.commit(of: name, transport)
                return try await pull(name, commit, selection, cache, transport)
            }
            // Nobody needs to wait long for an answer that can be done without.
            var hasty = transport
            hasty.settings.retries.attempts = min(2, settings.retries.attempts)
            let commit: String
            do {
                commit = try await self.commit(of: name, hasty)
            } catch let error as HubError {
                guard case .unreachable = error else { throw error }
                onEvent(.usesCache(reason: "\(error)"))
                return known
            }
            return try await pull(name, commit, selection, cache, transport)
        }
    }

    private func cached(
        _ cache: RepositoryCache, _ name: RepositoryName, _ selection: FileSelection
    ) throws -> PulledModel? {
        guard let commit = cache.recordedCommit() else { return nil }
        let chosen = try selection.choose(from: cache.files(in: commit), of: name.id)
        return model(cache, commit, chosen)
    }

    private func model(_ cache: RepositoryCache, _ commit: String, _ chosen: ChosenFiles) -> PulledModel {
        let folder = cache.snapshot(commit)
        return PulledModel(
            folder: folder, path: chosen.main.map { folder + "/" + $0 } ?? folder, commit: commit)
    }

    private func pull(
        _ name: RepositoryName, _ commit: String, _ selection: FileSelection, _ cache: RepositoryCache,
        _ transport: HubTransport
    ) async throws -> PulledModel {
        let files = try await files(of: name, commit, transport)
        let paths = files.map(\.path.description)
        let chosen = try selection.choose(from: paths, of: name.id)
        let left = FileSelection.programs(paths).filter { !chosen.paths.contains($0) }
        let wanted = Set(chosen.paths)
        let plan = files.filter { wanted.contains($0.path.description) }
        if !left.isEmpty, !plan.allSatisfy(cache.holds) { onEvent(.leftOut(programs: left)) }
        try cache.prepare(commit: commit)
        try await fetch(plan, commit, name, cache, transport)
        // Only now, so that a revision never leads to a part of a model.
        try cache.record(commit: commit)
        return model(cache, commit, chosen)
    }

    private func fetch(
        _ plan: [RemoteFile], _ commit: String, _ name: RepositoryName, _ cache: RepositoryCache,
        _ transport: HubTransport
    ) async throws {
        // The same content under two names is fetched once.
        let missing = Dictionary(
            plan.filter { !cache.holds($0) }.map { ($0.digest, $0) }, uniquingKeysWith: { first, _ in first }
        ).values.sorted { $0.path.description < $1.path.description }
        let total = Self.sum(plan.map(\.size)), needed = Self.sum(missing.map(\.size))
        onEvent(.planned(files: plan.count, bytes: total, present: total - needed))
        let partial = Self.sum(missing.map { min($0.size, cache.partialSize($0)) })
        let blobs = cache.folder + "/blobs"
        if let free = freeSpace(at: blobs + "/any"), free < needed - partial {
            throw HubError.diskFull(folder: blobs, needed: needed - partial, available: free)
        }
        try await withThrowingTaskGroup(of: Void.self) { group in
            var waiting = missing[...]
            func startNext() {
                guard let file = waiting.popFirst() else { return }
                let download = FileDownload(
                    file: file, url: address(of: file, commit, name), name: name, cache: cache,
                    transport: transport, onEvent: onEvent)
                group.addTask { try await download.run() }
            }
            for _ in 0..<max(1, settings.filesAtOnce) { startNext() }
            while try await group.next() != nil { startNext() }
        }
        for file in plan { try cache.link(file, in: commit) }
    }

    private static func sum(_ sizes: [Int]) -> Int {
        sizes.reduce(0) { total, size in
            let (sum, overflow) = total.addingReportingOverflow(size)
            return overflow ? .max : sum
        }
    }

    private func address(of file: RemoteFile, _ commit: String, _ name: RepositoryName) -> String {
        let path = file.path.parts.map(percentEncoded).joined(separator: "/")
        return settings.endpoint.url("/\(name.id)/resolve/\(commit)/\(path)")
    }

    /// The commit that the revision is at now.
    private func commit(of name: RepositoryName, _ transport: HubTransport) async throws -> String {
        let url = settings.endpoint.url("/api/models/\(name.id)/revision/\(percentEncoded(name.revision))")
        let (json, _) = try await transport.document(url, about: name)
        let commit = json["sha"]?.string ?? ""
        guard ContentDigest.isHexadecimal(commit, digits: 40) else {
            throw HubError.malformed(
                address: url, expected: "a commit of 40 hexadecimal digits as sha",
                found: "'\(commit.prefix(100))'")
        }
        return commit
    }

    /// Every file of the commit, with size and checksum.
    private func files(
        of name: RepositoryName, _ commit: String, _ transport: HubTransport
    ) async throws -> [RemoteFile] {
        let first = settings.endpoint.url("/api/models/\(name.id)/tree/\(commit)?recursive=true")
        var (files, page, seen): ([RemoteFile], String?, Set<String>) = ([], first, [])
        while let url = page {
            // Pages are the hub's own, and each is another one.
            guard let origin = URL(string: url).flatMap(Origin.init), origin == settings.endpoint.origin,
                seen.insert(url).inserted
            else { throw HubError.unsafeRedirect(from: first, to: url) }
            let (json, next) = try await transport.document(url, about: name)
            guard let entries = json.array else {
                throw HubError.malformed(address: url, expected: "a list of files", found: json.kind)
            }
            for entry in entries {
                if let file = try RemoteFile(entry, address: url) { files.append(file) }
            }
            guard files.count <= Self.mostFiles else {
                throw HubError.malformed(
                    address: first, expected: "at most \(Self.mostFiles) files", found: "more")
            }
            page = next
        }
        return files
    }
}
