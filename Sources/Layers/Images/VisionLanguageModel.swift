public import Tensors

/// A language model of any architecture, and what makes images into vectors for it.
public struct VisionLanguageModel: LanguageModel {
    let text: any LanguageModel
    public let imageEncoder: (any ImageEncoder)?

    /// - Parameter imageEncoder: Nil where only texts are to be read.
    public init(_ text: any LanguageModel, _ imageEncoder: (any ImageEncoder)?) {
        (self.text, self.imageEncoder) = (text, imageEncoder)
    }

    public var cacheLayout: CacheLayout { text.cacheLayout }
    public var vocabularySize: Int { text.vocabularySize }
    public var output: ModelOutput { text.output }
    public var outputWidth: Int { text.outputWidth }
    public var longestSequence: Int? { text.longestSequence }
    public var featureWidth: Int? { text.featureWidth }
    public var positionAxes: Int { text.positionAxes }

    public func callAsFunction(_ pass: ForwardPass) -> Matrix { text(pass) }

    public func keepsCache(from length: Int, to newLength: Int) -> Bool {
        text.keepsCache(from: length, to: newLength)
    }
}
