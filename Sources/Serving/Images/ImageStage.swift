import Crypto
public import Images
public import Layers
import Foundation
import Synchronization
import Tensors

/// Looks at images, on a thread beside the one that generates, and remembers what it saw.
///
/// An image is known by its bytes: the same one is looked at once as long as its features are kept. Requests get all of
/// their images or wait; features that a request holds stay.
public final class ImageStage: Sendable {
    private let encoder: any ImageEncoder
    private let state: Mutex<ImageLedger>
    private let worker: ImageWorker
    private let limits: ImageStageLimits

    /// - Parameter firstToken: From where on numbers may stand for tokens of images.
    public init(_ encoder: any ImageEncoder, _ limits: ImageStageLimits, firstToken: Int) {
        (self.encoder, self.limits) = (encoder, limits)
        state = Mutex(ImageLedger(limits, firstToken: firstToken))
        worker = ImageWorker(encoder, together: limits.batch)
    }

    deinit { worker.stop() }

    /// How prompts show where images are.
    public var marks: ImageMarks { encoder.marks }

    /// What an image becomes, without looking at it.
    public func plan(_ image: EncodedImage) throws(ImageRefusal) -> ImagePlan {
        try encoder.plan(width: image.width, height: image.height)
    }

    /// Why no image can be looked at any more; nil while all is well.
    public var failure: RequestError? { encoder.failure.map { .engineFailed("\($0)") } }

    public var statistics: ImageStatistics { state.withLock { $0.statistics } }

    /// The images of a request, in order, when all have been looked at. Waits where features of others leave no room.
    public func ready(_ images: [EncodedImage]) async throws -> [ReadyImage] {
        guard !images.isEmpty else { return [] }
        var wanted: [ImageLedger.Wanted] = []
        for image in images {
            wanted.append(
                ImageLedger.Wanted(key: ImageKey(image), plan: try plan(image), image: image))
        }
        try limits.check(wanted)
        let lease = try await admitted(wanted)
        var result: [ReadyImage] = []
        for item in wanted {
            let features = try await features(of: item.key)
            let firstToken = state.withLock { $0.firstToken(of: item.key) }
            result.append(
                ReadyImage(plan: item.plan, features: features, firstToken: firstToken, lease: lease))
        }
        return result
    }

    /// Waits until there is room for all that is wanted, and holds it from then on.
    private func admitted(_ wanted: [ImageLedger.Wanted]) async throws -> ImageLease {
        let keys = Set(wanted.map(\.key))
        let id = state.withLock { $0.nextID() }
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let (due, jobs) = state.withLock { state in
                    state.queue(wanted, id, continuation)
                    return state.admit()
                }
                act(due, jobs)
            }
        } onCancel: {
            giveUp(id)
        }
        return ImageLease { [weak self] in self?.release(keys) }
    }

    /// Takes a request that waits out of the line, which may let the next one in.
    private func giveUp(_ id: UInt64) {
        let (gone, admitted) = state.withLock { state in (state.giveUp(id), state.admit()) }
        gone?.resume(throwing: CancellationError())
        act(admitted.due, admitted.jobs)
    }

    private func features(of key: ImageKey) async throws -> ImageFeatures {
        try await withCheckedThrowingContinuation { continuation in
            let known = state.withLock { $0.features(of: key, or: continuation) }
            if let known { continuation.resume(with: known) }
        }
    }

    private func release(_ keys: Set<ImageKey>) {
        let (due, jobs) = state.withLock { state in
            state.release(keys)
            return state.admit()
        }
        act(due, jobs)
    }

    private func act(_ due: [CheckedContinuation<Void, any Error>], _ jobs: [ImageLedger.Wanted]) {
        for job in jobs {
            worker.add(job.image) { [weak self] result in
                guard let self else { return }
                let waiting = state.withLock { $0.finish(job.key, result) }
                for continuation in waiting { continuation.resume(with: result) }
            }
        }
        for continuation in due { continuation.resume() }
    }
}

/// What an image is known by: its bytes, whatever they are called.
struct ImageKey: Hashable, Sendable {
    private let digest: [UInt8]

    init(_ image: EncodedImage) { digest = Array(SHA256.hash(data: image.bytes)) }
}

/// Holds the features of a request's images until it is gone.
final class ImageLease: Sendable {
    private let release: @Sendable () -> Void

    init(_ release: @escaping @Sendable () -> Void) { self.release = release }

    deinit { release() }
}

/// How much is kept of images.
public struct ImageStageLimits: Sendable {
    /// The most images whose features are kept.
    public var images = 200
    /// The most rows of features, which is what takes memory.
    public var tokens: Int
    /// The part of `images` that stays when there is no room for more.
    public var reservedRatio = 0.5
    /// The most images that are looked at together.
    public var batch = 1

    public init(tokens: Int) { self.tokens = tokens }

    func check(_ wanted: [ImageLedger.Wanted]) throws(ImageStageError) {
        var plans: [ImageKey: ImagePlan] = [:]
        for item in wanted { plans[item.key] = item.plan }
        guard plans.count <= images else { throw .tooManyImages(plans.count, most: images) }
        let count = plans.values.reduce(0) { $0 + $1.tokens }
        guard count <= tokens else { throw .tooManyTokens(count, most: tokens) }
    }
}

/// Images that cannot be taken together.
public enum ImageStageError: Error, Equatable, CustomStringConvertible {
    case tooManyImages(Int, most: Int)
    case tooManyTokens(Int, most: Int)
    /// The file's header says another size than its pixels have.
    case wrongSize

    public var description: String {
        switch self {
        case .tooManyImages(let count, let most):
            "too many images! a request may have \(most), found \(count)"
        case .wrongSize: "the image has another size than its header says"
        case .tooManyTokens(let count, let most):
            "too many images! those of a request may have \(most) tokens together, found \(count)"
        }
    }
}

/// What became of images so far.
public struct ImageStatistics: Sendable, Equatable {
    /// Images that were looked at.
    public var encoded = 0
    /// Images whose features were there already.
    public var found = 0
    /// Images whose features are kept, and their rows.
    public var kept = 0
    public var keptTokens = 0
    /// Requests that wait for room.
    public var waiting = 0
}
