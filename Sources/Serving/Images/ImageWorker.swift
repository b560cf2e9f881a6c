import Foundation
import Images
import Layers
import Synchronization
import Tensors

/// The thread that looks at images, one after the other or some together.
final class ImageWorker: Sendable {
    typealias Completion = @Sendable (Result<ImageFeatures, any Error>) -> Void

    private let queue = Queue()

    /// - Parameter together: The most images that the encoder gets at once.
    init(_ encoder: any ImageEncoder, together: Int) {
        let thread = Thread { [queue] in
            while let jobs = queue.next(together) { Self.perform(jobs, encoder) }
        }
        thread.name = "lightllm-images"
        thread.stackSize = 8 << 20
        thread.start()
    }

    func add(_ image: EncodedImage, _ completion: @escaping Completion) {
        queue.add(Job(image: image, completion: completion))
    }

    func stop() { queue.close() }

    private struct Job: Sendable {
        let image: EncodedImage
        let completion: Completion
    }

    private static func perform(_ jobs: [Job], _ encoder: any ImageEncoder) {
        var (images, decoded): ([PixelImage], [Job]) = ([], [])
        for job in jobs {
            do {
                let image = try job.image.decoded()
                guard image.width == job.image.width, image.height == job.image.height else {
                    throw ImageStageError.wrongSize
                }
                images.append(image)
                decoded.append(job)
            } catch {
                job.completion(.failure(error))
            }
        }
        guard !images.isEmpty else { return }
        let features = encoder.encode(images)
        if let failure = encoder.failure {
            let error = RequestError.engineFailed("\(failure)")
            for job in decoded { job.completion(.failure(error)) }
        } else {
            for (job, features) in zip(decoded, features) { job.completion(.success(features)) }
        }
    }

    private final class Queue: Sendable {
        private struct State {
            var jobs: [Job] = []
            var isClosed = false
        }

        private let state = Mutex(State())
        private let wake = DispatchSemaphore(value: 0)

        func add(_ job: Job) {
            state.withLock { $0.jobs.append(job) }
            wake.signal()
        }

        func close() {
            state.withLock { $0.isClosed = true }
            wake.signal()
        }

        /// Waits for jobs; nil when there will be none.
        func next(_ most: Int) -> [Job]? {
            while true {
                let (jobs, isClosed) = state.withLock { state in
                    let jobs = Array(state.jobs.prefix(most))
                    state.jobs.removeFirst(jobs.count)
                    return (jobs, state.isClosed)
                }
                if !jobs.isEmpty { return jobs }
                guard !isClosed else { return nil }
                wake.wait()
            }
        }
    }
}
