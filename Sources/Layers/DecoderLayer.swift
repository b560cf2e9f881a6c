public import Tensors

/// One layer of a decoder: adds its branches to the stream.
public protocol DecoderLayer: Sendable {
    var attention: any Attention { get }
    func callAsFunction(_ x: inout ResidualStream, _ pass: ForwardPass)
}

/// Attention, then feed-forward, each on a normalised copy of the stream.
public struct PreNormLayer: DecoderLayer {
    let attentionNorm: any Normalization
    public let attention: any Attention
    let feedForwardNorm: any Normalization
    let feedForward: any FeedForward
    let branchScale: Float?

    /// Branches are multiplied by `branchScale` before they are added.
    public init(
        attentionNorm: any Normalization, attention: any Attention, feedForwardNorm: any Normalization,
        feedForward: any FeedForward, branchScale: Float? = nil
    ) {
        (self.attentionNorm, self.attention) = (attentionNorm, attention)
        (self.feedForwardNorm, self.feedForward) = (feedForwardNorm, feedForward)
        self.branchScale = branchScale
    }

    public func callAsFunction(_ x: inout ResidualStream, _ pass: ForwardPass) {
        x += scaled(attention(x.normalized(by: attentionNorm), pass))
        x += scaled(feedForward(x.normalized(by: feedForwardNorm)))
    }

    private func scaled(_ branch: Matrix) -> Matrix {
        if let branchScale { branch.backend.scale(branch, by: branchScale) }
        return branch
    }
}

/// Attention and feed-forward side by side, on the same normalised copy of the stream (GPT-J).
public struct ParallelLayer: DecoderLayer {
    let norm: any Normalization
    public let attention: any Attention
    let feedForward: any FeedForward

    public init(norm: any Normalization, attention: any Attention, feedForward: any FeedForward) {
        (self.norm, self.attention, self.feedForward) = (norm, attention, feedForward)
    }

    public func callAsFunction(_ x: inout ResidualStream, _ pass: ForwardPass) {
        let normed = x.normalized(by: norm)
        x += attention(normed, pass)
        x += feedForward(normed)
    }
}

/// Attention, then feed-forward, on normalised copies; what they add to is that copy instead of the stream itself.
public struct NormedResidualLayer: DecoderLayer {
    let attentionNorm: any Normalization
    public let attention: any Attention
    let feedForwardNorm: any Normalization
    let feedForward: any FeedForward

    public init(
        attentionNorm: any Normalization, attention: any Attention, feedForwardNorm: any Normalization,
        feedForward: any FeedForward
    ) {
        (self.attentionNorm, self.attention) = (attentionNorm, attention)
        (self.feedForwardNorm, self.feedForward) = (feedForwardNorm, feedForward)
    }

    public func callAsFunction(_ x: inout ResidualStream, _ pass: ForwardPass) {
        x = ResidualStream(x.normalized(by: attentionNorm))
        x += attention(x.value, pass)
        x = ResidualStream(x.normalized(by: feedForwardNorm))
        x += feedForward(x.value)
    }
}

/// Attention, then feed-forward, each between two norms (Gemma 2, arXiv 2408.00118).
public struct SandwichLayer: DecoderLayer {
    let attentionNorms: (before: any Normalization, after: any Normalization)
    public let attention: any Attention
    let feedForwardNorms: (before: any Normalization, after: any Normalization)
    let feedForward: any FeedForward

    public init(
        attentionNorms: (before: any Normalization, after: any Normalization), attention: any Attention,
        feedForwardNorms: (before: any Normalization, after: any Normalization),
        feedForward: any FeedForward
    ) {
        (self.attentionNorms, self.attention) = (attentionNorms, attention)
        (self.feedForwardNorms, self.feedForward) = (feedForwardNorms, feedForward)
    }

    public func callAsFunction(_ x: inout ResidualStream, _ pass: ForwardPass) {
        x += attentionNorms.after(attention(x.normalized(by: attentionNorms.before), pass))
        x += feedForwardNorms.after(feedForward(x.normalized(by: feedForwardNorms.before)))
    }
}
