import Foundation
public import Scheduling
public import Serving

/// How a model's hidden states become the vector of a text.
public struct EmbeddingStyle: Sendable, Equatable {
    public var pooling = Pooling.last
    /// Whether vectors have length 1.
    public var isNormalized = true

    public init(pooling: Pooling = .last, isNormalized: Bool = true) {
        (self.pooling, self.isNormalized) = (pooling, isNormalized)
    }

    /// The first `dimensions` numbers of a pooled vector, or all; of length 1 where vectors are.
    public func finished(_ pooled: [Float], dimensions: Int? = nil) -> [Float] {
        let vector = Array(pooled.prefix(dimensions ?? pooled.count))
        guard isNormalized else { return vector }
        let length = vector.reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot()
        return length > 0 ? vector.map { Float(Double($0) / length) } : vector
    }
}

/// Texts whose vectors are being computed. Their requests end with `cancel()`, or when this goes.
public struct PendingEmbeddings: Sendable {
    fileprivate let streams: [GenerationStream]
    fileprivate let style: EmbeddingStyle
    fileprivate let dimensions: Int?

    public func cancel() { for stream in streams { stream.cancel() } }

    /// The vectors in the order of the texts; call once. Throws `RequestError` when the engine gives one up.
    public func vectors() async throws -> [[Float]] {
        var vectors: [[Float]] = []
        for stream in streams {
            var pooled: [Float]?
            for await event in stream {
                if case .logits(let values) = event { pooled = values }
                if case .failed(let error) = event { throw error }
            }
            guard let pooled else { throw RequestError.engineStopped }
            vectors.append(style.finished(pooled, dimensions: dimensions))
        }
        return vectors
    }
}

extension TextGenerator {
    /// Begins to compute the vectors of texts, which wait for their turns together; of each the first `dimensions`
    /// numbers, or all. Throws `RequestError` when the model has a head, or one of the texts cannot be computed;
    /// then none is.
    public func embed(
        _ texts: [[Int32]], dimensions: Int? = nil, terms: QueueTerms = QueueTerms(),
        cacheSalt: CacheSalt? = nil
    ) throws(RequestError) -> PendingEmbeddings {
        let streams = try engine.submit(
            texts.map { text in
                var request = GenerationRequest.embedding(text, embeddingStyle.pooling)
                (request.terms, request.cacheSalt) = (terms, cacheSalt)
                return request
            })
        return PendingEmbeddings(streams: streams, style: embeddingStyle, dimensions: dimensions)
    }
}
