import Foundation

/// Brings the bytes of the images that requests ask for, from where a policy lets them come from.
struct MediaLoader: Sendable {
    let policy: MediaPolicy
    private let fetch: MediaFetch
    private let turnstile: Turnstile
    /// Where files are read, which blocks.
    private let threads = OperationQueue()

    init(_ policy: MediaPolicy, network: MediaNetwork = .internet()) {
        self.policy = policy
        fetch = MediaFetch(policy: policy, network: network)
        turnstile = Turnstile(policy.loads)
        threads.maxConcurrentOperationCount = policy.loads
    }

    /// The encoded images in the order of `references`.
    ///
    /// Errors: an `APIError` with status 413 for an image that is sent along and is larger than the policy allows, with
    /// status 400 for everything else that keeps an image from being had. They name the field and neither addresses nor
    /// paths.
    func images(_ references: [MediaReference]) async throws -> [[UInt8]] {
        guard references.count <= policy.mostImages else {
            let failure = MediaFailure.tooManyImages(most: policy.mostImages, found: references.count)
            throw APIError.invalid(failure.message, parameter: references.first?.parameter)
        }
        return try await withThrowingTaskGroup(of: (Int, [UInt8]).self) { tasks in
            for (index, reference) in references.enumerated() {
                tasks.addTask { (index, try await image(reference)) }
            }
            var images = [[UInt8]](repeating: [], count: references.count)
            var total = 0
            for try await (index, bytes) in tasks {
                total += bytes.count
                guard total <= policy.largestRequest else {
                    throw APIError(
                        MediaFailure.tooLargeTogether(most: policy.largestRequest), references[index])
                }
                images[index] = bytes
            }
            return images
        }
    }

    private func image(_ reference: MediaReference) async throws -> [UInt8] {
        do {
            switch reference.source {
            case .base64(let text): return try decoded(text)
            case .web(let address):
                return try await waited { try await fetch.bytes(at: address) }
            case .file(let path):
                guard let folder = policy.folder else { throw MediaFailure.readsNoFiles }
                return try await waited {
                    try await blocking(on: threads) {
                        try folder.bytes(of: path, most: policy.largestImage)
                    }
                }
            }
        } catch let failure as MediaFailure {
            throw APIError(failure, reference)
        }
    }

    /// Measures before it decodes.
    private func decoded(_ text: Substring) throws(MediaFailure) -> [UInt8] {
        guard let size = Base64.size(of: text.utf8), size > 0 else { throw .notBase64 }
        guard size <= policy.largestImage else {
            throw .tooLarge(most: policy.largestImage, found: size, inRequest: true)
        }
        return Base64.bytes(of: text.utf8, size: size)
    }

    /// What `body` brings when its turn has come, unless it takes too long.
    private func waited(_ body: @escaping @Sendable () async throws -> [UInt8]) async throws -> [UInt8] {
        try await turnstile.pass {
            try await withThrowingTaskGroup(of: [UInt8]?.self) { tasks in
                defer { tasks.cancelAll() }
                tasks.addTask { try await body() }
                tasks.addTask {
                    try await Task.sleep(for: policy.timeout)
                    return nil
                }
                guard let first = try await tasks.next(), let bytes = first else {
                    throw MediaFailure.late(policy.timeout)
                }
                return bytes
            }
        }
    }
}

/// Lets so many pass at the same time; more wait in line.
actor Turnstile {
    private var free: Int
    private var waiting: [(id: Int, continuation: CheckedContinuation<Void, any Error>)] = []
    private var nextID = 0

    init(_ count: Int) { free = count }

    /// Does `body` in its turn. Throws if the task is cancelled before that.
    nonisolated func pass<Value: Sendable>(_ body: @Sendable () async throws -> Value) async throws -> Value {
        try await enter()
        do {
            let value = try await body()
            await leave()
            return value
        } catch {
            await leave()
            throw error
        }
    }

    private func enter() async throws {
        try Task.checkCancellation()
        guard free == 0 else { return free -= 1 }
        let id = nextID
        nextID += 1
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation {
                (continuation: CheckedContinuation<Void, any Error>) in
                // Who was cancelled by now has asked to be taken out before being in.
                if Task.isCancelled { return continuation.resume(throwing: CancellationError()) }
                waiting.append((id, continuation))
            }
        } onCancel: {
            Task { await abandon(id) }
        }
    }

    private func abandon(_ id: Int) {
        guard let index = waiting.firstIndex(where: { $0.id == id }) else { return }
        waiting.remove(at: index).continuation.resume(throwing: CancellationError())
    }

    private func leave() {
        if waiting.isEmpty { free += 1 } else { waiting.removeFirst().continuation.resume() }
    }
}
