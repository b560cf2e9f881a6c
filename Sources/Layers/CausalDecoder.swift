public import Tensors

/// One layer of a decoder: adds its branches to the stream.
public protocol DecoderLayer: Sendable {
    func callAsFunction(_ x: inout ResidualStream, _ pass: ForwardPass)
}

/// Attention, then feed-forward, each on a normalised copy of the stream.
public struct PreNormLayer<A: Attention, F: FeedForward, N: Normalization>: DecoderLayer {
    let attentionNorm: N
    let attention: A
    let feedForwardNorm: N
    let feedForward: F

    public init(attentionNorm: N, attention: A, feedForwardNorm: N, feedForward: F) {
        (self.attentionNorm, self.attention) = (attentionNorm, attention)
        (self.feedForwardNorm, self.feedForward) = (feedForwardNorm, feedForward)
    }

    public func callAsFunction(_ x: inout ResidualStream, _ pass: ForwardPass) {
        x += attention(x.normalized(by: attentionNorm), pass)
        x += feedForward(x.normalized(by: feedForwardNorm))
    }
}

/// The frame every decoder-only model shares: embed, run the layers, keep the sampled rows, normalise,
/// project.
public struct CausalDecoder<Layer: DecoderLayer, N: Normalization>: LanguageModel {
    public let cacheLayout: CacheLayout
    public let vocabularySize: Int
    let embedding: Embedding
    let layers: [Layer]
    let norm: N
    let head: Linear
    let rotation: Rotation?

    /// `rotation` is the one that the layers use, if they use one.
    public init(
        embedding: Embedding, layers: [Layer], norm: N, head: Linear, rotation: Rotation?, cache: CacheLayout
    ) {
        (self.embedding, self.layers, self.norm, self.head) = (embedding, layers, norm, head)
        self.rotation = rotation
        (cacheLayout, vocabularySize) = (cache, head.weight.outputs)
    }

    public func keepsCache(from length: Int, to newLength: Int) -> Bool {
        rotation?.isSame(atLength: length, newLength) ?? true
    }

    public func callAsFunction(_ pass: ForwardPass) -> Matrix {
        var x = ResidualStream(embedding(pass))
        for layer in layers { layer(&x, pass) }
        let hidden = x.normalized(by: norm)
        let sampled = pass.backend.makeMatrix(rows: pass.sampledRows.count, columns: hidden.columns)
        pass.backend.gatherRows(pass.sampledRows, of: hidden, into: sampled)
        return head(sampled)
    }
}
