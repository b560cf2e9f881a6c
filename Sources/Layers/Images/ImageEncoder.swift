public import Images
public import Tensors

/// Rows and columns of an image's tokens.
public struct ImageGrid: Sendable, Equatable {
    public let rows: Int
    public let columns: Int

    public init(rows: Int, columns: Int) { (self.rows, self.columns) = (rows, columns) }
}

/// What an image takes of a sequence.
public struct ImagePlan: Sendable, Equatable {
    /// How many tokens; as many rows its features have.
    public let tokens: Int
    /// Where these stand, for models whose tokens have positions on several axes.
    public let grid: ImageGrid?

    public init(tokens: Int, grid: ImageGrid? = nil) { (self.tokens, self.grid) = (tokens, grid) }
}

/// An image that a model cannot look at.
public enum ImageRefusal: Error, Equatable, CustomStringConvertible {
    case tooNarrow(width: Int, height: Int, mostRatio: Int)
    case tooLong(width: Int, height: Int, most: Int)

    public var description: String {
        switch self {
        case .tooNarrow(let width, let height, let ratio):
            "the image is \(width)x\(height); the longer side may be at most \(ratio) times the shorter one"
        case .tooLong(let width, let height, let most):
            "the image is \(width)x\(height); a side may have at most \(most) pixels"
        }
    }

    /// How many times its shorter side an image's longer one may be.
    public static let mostRatio = 200

    /// Refuses strips, which would become huge where their shorter side is brought to a size.
    public static func check(width: Int, height: Int, longestSide: Int = .max) throws(ImageRefusal) {
        let (short, long) = (min(width, height), max(width, height))
        guard long <= longestSide else { throw .tooLong(width: width, height: height, most: longestSide) }
        guard short > 0, long / short <= mostRatio, long <= short * mostRatio else {
            throw .tooNarrow(width: width, height: height, mostRatio: mostRatio)
        }
    }
}

/// Turns images into vectors that a language model reads in place of tokens.
///
/// What becomes of an image does not depend on those beside it. Called from one thread at a time.
public protocol ImageEncoder: Sendable {
    /// How a prompt shows where images are.
    var marks: ImageMarks { get }
    /// Columns of the features: the width of the language model.
    var width: Int { get }
    /// The most tokens that an image has.
    var mostTokens: Int { get }
    /// Images that take as much memory together as any do.
    var rehearsal: [PixelImage] { get }
    /// What an image of this size becomes, in pixels.
    func plan(width: Int, height: Int) throws(ImageRefusal) -> ImagePlan
    /// Why what is computed means nothing any more; nil while all is well.
    var failure: BackendFailure? { get }
    /// The features of images that `plan` took, in order. They mean nothing where there is a `failure` afterwards.
    func encode(_ images: [PixelImage]) -> [ImageFeatures]
}

extension PixelImage {
    /// A black square.
    public init(side: Int) {
        self.init(width: side, height: side, pixels: [UInt8](repeating: 0, count: 3 * side * side))
    }
}

/// A token by its number or by its text.
public enum TokenName: Sendable, Equatable {
    case id(Int32)
    case text(String)
}

/// How a prompt shows where images are.
public struct ImageMarks: Sendable {
    public enum Place: Sendable {
        /// Where this text stands, which parts what is before it from what comes after.
        case tag(String)
        /// Between two tokens; what stands there already goes.
        case between(TokenName, TokenName)
    }

    public var place: Place
    /// A text for a pair of marks with nothing between them.
    public var shorthand: String?
    /// Whether each image is announced by its number and followed by the end of a line.
    public var isNumbered = false
    /// What stands for an image in a conversation whose template has no place for one.
    public var text: String
    /// In prompts given as tokens, what holds the places of an image's tokens; nil: any token repeated as often.
    public var placeholder: Int32?

    public init(_ place: Place, text: String) { (self.place, self.text) = (place, text) }

    /// The texts that stand for images by themselves.
    public var tags: [String] {
        var tags = shorthand.map { [$0] } ?? []
        if case .tag(let tag) = place { tags.append(tag) }
        return tags
    }
}
