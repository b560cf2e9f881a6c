import JSON
import OrderedCollections

/// The messages of a request as chat templates expect them, and the images in them.
struct Conversation: Sendable {
    var messages: [JSONValue] = []
    /// In the order in which messages and their parts have them.
    var images: [MediaReference] = []
}

/// Takes the parts of a message's content in order.
struct ContentParts {
    /// What a message may hold.
    enum Kind {
        case text
        case textAndImages
        /// Text, as the model reads nothing else.
        case textForModel

        init(role: String, acceptsImages: Bool) {
            self =
                !acceptsImages ? .textForModel : ["user", "tool"].contains(role) ? .textAndImages : .text
        }
    }

    private let kind: Kind
    private let parameter: String
    private var texts: [String] = []
    private var parts: [JSONValue] = []
    private(set) var images: [MediaReference] = []

    init(_ kind: Kind, parameter: String) { (self.kind, self.parameter) = (kind, parameter) }

    /// Errors: anything but texts, and images where the message may hold some. `path` is the part's.
    mutating func add(_ part: JSONValue, at path: String) throws(APIError) {
        let type = part["type"]?.string
        if ["text", "input_text", "output_text"].contains(type), let text = part["text"]?.string {
            texts.append(text)
            return parts.append(["type": "text", "text": .string(text)])
        }
        let found = type.map(MediaSource.beginning) ?? "none"
        guard kind != .textForModel else {
            throw .invalid(
                "\(path): this model reads text only, found a part of type \(found)", parameter: parameter)
        }
        guard kind == .textAndImages else {
            throw .invalid(
                "\(path) must be text, found a part of type \(found); images belong to what users and tools say",
                parameter: parameter)
        }
        guard let image = try MediaReference(part: part, at: path, parameter: parameter) else {
            throw .invalid(
                "\(path) must be text or an image, found a part of type \(found)", parameter: parameter)
        }
        images.append(image)
        parts.append(["type": "image"])
    }

    var isEmpty: Bool { parts.isEmpty }

    /// Texts a line each; with images among them a list of parts, as templates of models that see expect it.
    var content: JSONValue { images.isEmpty ? .string(texts.joined(separator: "\n")) : .array(parts) }
}
