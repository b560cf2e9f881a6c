import JSON
import OrderedCollections
import Serving
import TextGeneration

/// A whole answer, collected.
struct Answer: Sendable {
    let promptTokens: [Int32]
    private(set) var cachedTokens = 0
    var prompt: [ScoredToken] = []
    var chunks: [TextChunk] = []
    /// Why the engine gave the request up.
    private(set) var failure: RequestError?

    var meanLogProbability: Float {
        let known = chunks.compactMap(\.token.logProbability)
        return known.isEmpty ? -.infinity : known.reduce(0, +) / Float(known.count)
    }

    var text: String { chunks.map(\.text).joined() }

    /// Nil when the request was cancelled before it was through.
    var finish: FinishReason? { chunks.last?.finish }

    init(promptTokens: [Int32], chunks: [TextChunk]) {
        (self.promptTokens, self.chunks) = (promptTokens, chunks)
    }

    init(_ stream: TextStream, _ timer: inout RequestTimer, _ metrics: ServerMetrics) async {
        promptTokens = stream.promptTokens
        for await event in stream {
            switch event {
            case .started(let count):
                timer.start(cachedTokens: count)
                cachedTokens = count
            case .prompt(let tokens): prompt += tokens
            case .failed(let error): failure = error
            case .chunk(let chunk):
                metrics.countToken(&timer)
                chunks.append(chunk)
            }
        }
    }
}

extension Server {
    /// All answers of a request, in order. Throws when the client went away or the engine stopped.
    func collect(_ streams: [TextStream]) async throws -> [Answer] {
        try await withThrowingTaskGroup(of: (Int, Answer).self) { group in
            for (index, stream) in streams.enumerated() {
                group.addTask {
                    var timer = metrics.begin(stream)
                    let answer = await Answer(stream, &timer, metrics)
                    guard let finish = answer.finish else { throw answer.failure ?? .engineStopped }
                    metrics.end(timer, finish)
                    return (index, answer)
                }
            }
            var answers = [Answer?](repeating: nil, count: streams.count)
            for try await (index, answer) in group { answers[index] = answer }
            return answers.compactMap { $0 }
        }
    }

    /// The events of several answers as they come, each with its number. Throws when one breaks off.
    func merged(_ streams: [TextStream]) -> AsyncThrowingStream<(Int, TextEvent), any Error> {
        AsyncThrowingStream { continuation in
            let task = Task {
                await withTaskGroup(of: Bool.self) { group in
                    for (index, stream) in streams.enumerated() {
                        group.addTask {
                            var isFinished = false
                            var timer = metrics.begin(stream)
                            for await event in stream {
                                switch event {
                                case .started(let count): timer.start(cachedTokens: count)
                                case .failed(let error): continuation.finish(throwing: error)
                                case .prompt: break
                                case .chunk(let chunk):
                                    metrics.countToken(&timer)
                                    if let finish = chunk.finish {
                                        isFinished = true
                                        metrics.end(timer, finish)
                                    }
                                }
                                continuation.yield((index, event))
                            }
                            return isFinished
                        }
                    }
                    for await isFinished in group where !isFinished {
                        continuation.finish(throwing: RequestError.engineStopped)
                    }
                }
                continuation.finish()
            }
            continuation.onTermination = { _ in
                task.cancel()
                for stream in streams { stream.cancel() }
            }
        }
    }
}
