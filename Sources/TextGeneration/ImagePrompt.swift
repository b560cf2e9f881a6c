import Foundation
public import Images
import JSON
import Layers
import OrderedCollections
public import Serving
import Tokenizers

/// Prompts with images: where these are is shown by marks in the text, whose count must be theirs.
extension TextGenerator {
    /// Whether images may come with a prompt.
    public var takesImages: Bool { images != nil }

    /// Looks at the images of a request. Throws `RequestError`, `ImageRefusal`, `ImageStageError` or `ImageError`.
    public func ready(_ encoded: [EncodedImage]) async throws -> [ReadyImage] {
        guard let images else { throw RequestError.imagesNotTaken }
        return try await images.ready(encoded)
    }

    /// The tokens of `prompt` with those of `ready` where it shows them.
    public func illustrated(
        _ prompt: TextRequest.Prompt, with ready: [ReadyImage]
    ) throws -> IllustratedPrompt {
        guard let marks = images?.marks else {
            guard ready.isEmpty else { throw RequestError.imagesNotTaken }
            return IllustratedPrompt(parts: [try tokens(of: prompt)], with: [])
        }
        if case .tokens(let tokens) = prompt {
            return try IllustratedPrompt(filling: tokens, with: ready, marks)
        }
        return IllustratedPrompt(parts: try parts(of: prompt, marks, images: ready.count), with: ready)
    }

    /// How many tokens `prompt` has with `encoded`, which nobody looks at.
    public func countTokens(of prompt: TextRequest.Prompt, with encoded: [EncodedImage]) throws -> Int {
        guard let images else {
            guard encoded.isEmpty else { throw RequestError.imagesNotTaken }
            return try tokens(of: prompt).count
        }
        let parts = try parts(of: prompt, images.marks, images: encoded.count)
        return try encoded.reduce(parts.reduce(0) { $0 + $1.count }) { try $0 + images.plan($1).tokens }
    }

    /// The tokens before, between and after images.
    private func parts(
        of prompt: TextRequest.Prompt, _ marks: ImageMarks, images count: Int
    ) throws -> [[Int32]] {
        switch marks.place {
        case .tag(let tag):
            let texts = prompt.text.components(separatedBy: tag)
            try requireMarks(texts.count - 1, images: count)
            return try texts.enumerated().map { index, text in
                text.isEmpty && index > 0 ? [] : try tokens(of: prompt.part(text, isFirst: index == 0))
            }
        case .between(let opening, let closing):
            let pair = MarkPair(opening, closing, tokenizer)
            let text = pair.written(in: prompt.text, marks)
            let parts = try pair.parts(of: try tokens(of: prompt.part(text, isFirst: true)))
            try requireMarks(parts.count - 1, images: count)
            return parts
        }
    }

    private func requireMarks(_ marks: Int, images: Int) throws(ImagePromptError) {
        guard marks == images else { throw .wrongCount(images: images, marks: marks) }
    }
}

/// A prompt whose marks are not those of its images.
public enum ImagePromptError: Error, Equatable, CustomStringConvertible {
    case wrongCount(images: Int, marks: Int)
    case unclosed

    public var description: String {
        switch self {
        case .wrongCount(let images, let marks): "invalid image tag num: \(images) vs \(marks)!"
        case .unclosed: "Unclosed image token"
        }
    }
}

extension TextRequest.Prompt {
    fileprivate var text: String {
        switch self {
        case .text(let text, _, _), .rendered(let text): text
        case .tokens: ""
        }
    }

    /// A part of the prompt's text; what the model expects before a text comes once.
    fileprivate func part(_ text: String, isFirst: Bool) -> TextRequest.Prompt {
        switch self {
        case .text(_, let adds, let parses):
            .text(text, addsSpecialTokens: adds && isFirst, parsesSpecialTokens: parses)
        case .rendered: .rendered(text)
        case .tokens: self
        }
    }
}

/// Two tokens that an image stands between.
private struct MarkPair {
    private let opening: (id: Int32?, text: String)
    private let closing: (id: Int32?, text: String)

    init(_ opening: TokenName, _ closing: TokenName, _ tokenizer: Tokenizer) {
        func known(_ name: TokenName) -> (id: Int32?, text: String) {
            switch name {
            case .id(let id): (id, tokenizer.token(id))
            case .text(let text): (tokenizer.id(of: text), text)
            }
        }
        (self.opening, self.closing) = (known(opening), known(closing))
    }

    /// The text with pairs for shorthands, and with what announces images.
    func written(in text: String, _ marks: ImageMarks) -> String {
        var text = text
        if let shorthand = marks.shorthand {
            text = text.replacing(shorthand, with: opening.text + closing.text)
        }
        guard marks.isNumbered else { return text }
        var pieces = text.precomposedStringWithCanonicalMapping.components(separatedBy: opening.text)
        for index in pieces.indices.dropFirst() {
            pieces[index] =
                "Picture \(index):" + opening.text
                + pieces[index].replacing(closing.text, with: closing.text + "\n")
        }
        return pieces.joined()
    }

    /// The tokens between pairs, which stay; what is in them goes.
    func parts(of tokens: [Int32]) throws(ImagePromptError) -> [[Int32]] {
        var parts: [[Int32]] = []
        var rest = tokens[...]
        while let start = rest.firstIndex(where: { $0 == opening.id }) {
            guard let end = rest[start...].firstIndex(where: { $0 == closing.id }) else { throw .unclosed }
            parts.append(Array(rest[...start]))
            rest = rest[end...]
        }
        return parts + [Array(rest)]
    }
}

/// Conversations with images, whose parts the template shows if it can.
struct ImageParts {
    /// Whether the template has a place for images.
    private let isShown: Bool
    private let marks: ImageMarks

    init(_ template: String, _ marks: ImageMarks) {
        isShown = template.contains("'image'") || template.contains("\"image\"")
        self.marks = marks
    }

    /// The messages with contents that the template takes.
    func flattened(_ messages: JSONValue) -> JSONValue {
        guard !isShown, case .array(let list) = messages else { return messages }
        return .array(
            list.map { message in
                guard case .object(var members) = message, let parts = members["content"]?.array else {
                    return message
                }
                members["content"] = .string(flattened(parts))
                return .object(members)
            })
    }

    private func flattened(_ parts: [JSONValue]) -> String {
        var text = ""
        var endsInText = false
        for part in parts {
            if part["type"]?.string == "image" {
                text += marks.text
                endsInText = false
            } else {
                text += (endsInText ? "\n" : "") + (part["text"]?.string ?? "")
                endsInText = true
            }
        }
        return text
    }
}
