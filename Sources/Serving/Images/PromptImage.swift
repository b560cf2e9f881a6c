public import Layers
import Tensors

/// An image in a prompt: where its tokens are, and what the model reads in their place.
public struct PromptImage: Sendable {
    /// Where the first of its tokens is.
    public let start: Int
    let image: ReadyImage

    public init(_ image: ReadyImage, at start: Int) { (self.image, self.start) = (image, start) }

    var range: Range<Int> { start..<start + image.features.rows }
}

/// An image that has been looked at. Its features are kept as long as this is.
public struct ReadyImage: Sendable {
    public let plan: ImagePlan
    let features: ImageFeatures
    /// The first of the numbers that stand for its tokens in prompts. They are above the vocabulary, those of no other
    /// image, and the same for the same image, so prompts share what was computed of it.
    let firstToken: Int32
    private let lease: ImageLease

    init(plan: ImagePlan, features: ImageFeatures, firstToken: Int32, lease: ImageLease) {
        (self.plan, self.features, self.firstToken, self.lease) = (plan, features, firstToken, lease)
    }

    /// What stands for it in a prompt.
    public var tokens: Range<Int32> { firstToken..<firstToken + Int32(features.rows) }
}

/// Positions of a sequence's tokens on three axes (M-RoPE, arXiv 2409.12191): text counts on all alike; tokens of an
/// image share a time, and have a row and a column from there on; what follows begins after the largest of them.
struct ImagePositions {
    private struct Span {
        let range: Range<Int>
        let grid: ImageGrid
        /// The position on all axes where it begins.
        let first: Int
        /// What a later token's position is less than its place.
        let gap: Int
    }

    private var spans: [Span] = []

    /// `images` are in order.
    init(_ images: [PromptImage]) {
        var gap = 0
        for image in images {
            guard let grid = image.image.plan.grid else { continue }
            let first = image.start - gap
            gap += image.range.count - max(grid.rows, grid.columns)
            spans.append(Span(range: image.range, grid: grid, first: first, gap: gap))
        }
    }

    /// Time, row and column of the token at `index`.
    func position(_ index: Int) -> (Int, Int, Int) {
        guard let span = spans.last(where: { $0.range.lowerBound <= index }) else {
            return (index, index, index)
        }
        guard span.range.contains(index) else {
            let place = index - span.gap
            return (place, place, place)
        }
        let (row, column) = (index - span.range.lowerBound).quotientAndRemainder(
            dividingBy: span.grid.columns)
        return (span.first, span.first + row, span.first + column)
    }
}
