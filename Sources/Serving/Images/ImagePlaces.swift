public import Layers

/// A prompt with the tokens of its images in it.
public struct IllustratedPrompt: Sendable {
    public let tokens: [Int32]
    public let images: [PromptImage]

    /// The tokens of `images` between `parts`, of which there is one more.
    public init(parts: [[Int32]], with images: [ReadyImage]) {
        precondition(parts.count == images.count + 1, "\(parts.count) parts around \(images.count) images")
        var (tokens, placed): ([Int32], [PromptImage]) = (parts[0], [])
        for (image, part) in zip(images, parts.dropFirst()) {
            placed.append(PromptImage(image, at: tokens.count))
            tokens += image.tokens
            tokens += part
        }
        (self.tokens, self.images) = (tokens, placed)
    }

    /// Puts the tokens of `images` into a prompt that holds their places already: where the marks say, or else where one
    /// token is repeated as often as an image has tokens. A placeholder that stands alone makes room for all.
    public init(filling prompt: [Int32], with images: [ReadyImage], _ marks: ImageMarks)
        throws(ImagePlaceError)
    {
        var (tokens, placed): ([Int32], [PromptImage]) = ([], [])
        var rest = prompt[...]
        for (index, image) in images.enumerated() {
            let count = image.tokens.count
            guard let place = Self.place(of: count, in: rest, marks) else {
                throw .noPlace(image: index, tokens: count)
            }
            tokens += rest[..<place.lowerBound]
            placed.append(PromptImage(image, at: tokens.count))
            tokens += image.tokens
            rest = rest[place.upperBound...]
        }
        (self.tokens, self.images) = (tokens + rest, placed)
    }

    private static func place(
        of count: Int, in prompt: ArraySlice<Int32>, _ marks: ImageMarks
    ) -> Range<Int>? {
        if let placeholder = marks.placeholder {
            guard let first = prompt.firstIndex(of: placeholder) else { return nil }
            let run = prompt[first...].prefix(count).prefix { $0 == placeholder }
            return run.count == count || run.count == 1 ? run.indices : nil
        }
        if case .between(.id(let opening), .id(let closing)) = marks.place {
            guard let before = prompt.firstIndex(of: opening) else { return nil }
            let end = before + 1 + count
            return end < prompt.endIndex && prompt[end] == closing ? before + 1..<end : nil
        }
        return run(of: count, in: prompt)
    }

    private static func run(of count: Int, in prompt: ArraySlice<Int32>) -> Range<Int>? {
        var first = prompt.startIndex
        while first < prompt.endIndex {
            let end = prompt[first...].firstIndex { $0 != prompt[first] } ?? prompt.endIndex
            if end - first == count { return first..<end }
            first = end
        }
        return nil
    }
}

/// A prompt that has no place for an image.
public enum ImagePlaceError: Error, Equatable, CustomStringConvertible {
    case noPlace(image: Int, tokens: Int)

    public var description: String {
        switch self {
        case .noPlace(let image, let tokens):
            "image \(image) has \(tokens) tokens; expected a place for as many in the prompt's tokens, found none"
        }
    }
}
