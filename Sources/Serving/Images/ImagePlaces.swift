public import Layers

/// A prompt with the tokens of its images in it.
public struct IllustratedPrompt: Sendable {
    public let tokens: [Int32]
    public let images: [PromptImage]

    /// Puts the tokens of `images` into prompts that hold their places already, each as many tokens as the image has:
    /// where the marks say, or else where one token is repeated so often.
    public init(filling prompt: [Int32], with images: [ReadyImage], _ marks: ImageMarks) throws(ImagePlaceError) {
        var (tokens, placed, next): ([Int32], [PromptImage], Int) = (prompt, [], 0)
        for (index, image) in images.enumerated() {
            let count = image.tokens.count
            guard let start = Self.place(of: count, in: prompt, from: next, marks) else {
                throw .noPlace(image: index, tokens: count)
            }
            tokens.replaceSubrange(start..<start + count, with: image.tokens)
            placed.append(PromptImage(image, at: start))
            next = start + count
        }
        (self.tokens, self.images) = (tokens, placed)
    }

    private static func place(
        of count: Int, in prompt: [Int32], from start: Int, _ marks: ImageMarks
    ) -> Int? {
        if let placeholder = marks.placeholder {
            guard let first = prompt[start...].firstIndex(of: placeholder), first + count <= prompt.count else {
                return nil
            }
            return prompt[first..<first + count].allSatisfy { $0 == placeholder } ? first : nil
        }
        if case .between(.id(let opening), .id(let closing)) = marks.place {
            guard let before = prompt[start...].firstIndex(of: opening) else { return nil }
            let end = before + 1 + count
            return end < prompt.count && prompt[end] == closing ? before + 1 : nil
        }
        return run(of: count, in: prompt, from: start)
    }

    private static func run(of count: Int, in prompt: [Int32], from start: Int) -> Int? {
        var first = start
        while first < prompt.count {
            let end = prompt[first...].firstIndex { $0 != prompt[first] } ?? prompt.count
            if end - first == count { return first }
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
