import JSON
import OrderedCollections

extension MediaReference {
    /// The image of a message's part, in the shapes of OpenAI's chat (`image_url`) and Responses (`input_image`) and of
    /// Anthropic's messages (`image`); nil for parts that are something else. `path` is the part's.
    init?(part: JSONValue, at path: String, parameter: String) throws(APIError) {
        switch part["type"]?.string {
        case "image_url": self = try Self.addressed(part, path, parameter)
        case "input_image":
            guard part["file_id"]?.isNull ?? true else {
                throw .invalid("\(path).file_id: files are not kept here", parameter: parameter)
            }
            self = try Self.addressed(part, path, parameter)
        case "image": self = try Self.sourced(part, path + ".source", parameter)
        default: return nil
        }
    }

    /// `image_url` as a URL or as `{"url": …, "detail": …}`.
    private static func addressed(
        _ part: JSONValue, _ path: String, _ parameter: String
    ) throws(APIError) -> MediaReference {
        let field = path + ".image_url"
        let (url, detail): (JSONValue?, JSONValue?)
        switch part["image_url"] {
        case .string(let text)?: (url, detail) = (.string(text), part["detail"])
        case .object(let members)?: (url, detail) = (members["url"], members["detail"])
        case nil, .null?: throw .invalid("\(field) is missing", parameter: parameter)
        case let other?:
            throw .invalid("\(field) must be a URL or an object, found \(other.kind)", parameter: parameter)
        }
        let place = part["image_url"]?.object == nil ? field : field + ".url"
        guard let text = url?.string else {
            throw .invalid(
                "\(place) must be a string, found \(url?.kind ?? "none")", parameter: parameter)
        }
        // How closely to look is the model's business; a wrong word is the client's mistake all the same.
        if let detail, !detail.isNull, !["auto", "low", "high"].contains(detail.string) {
            throw .invalid(
                "\(path): detail must be auto, low or high, found \(Self.shown(detail))", parameter: parameter
            )
        }
        return MediaReference(
            source: try MediaSource(url: text, field: place, parameter: parameter), field: place,
            parameter: parameter)
    }

    /// Anthropic's `{"type": "base64", "media_type": …, "data": …}` or `{"type": "url", "url": …}`.
    private static func sourced(
        _ part: JSONValue, _ path: String, _ parameter: String
    ) throws(APIError) -> MediaReference {
        guard let source = part["source"], source.object != nil else {
            throw .invalid(
                "\(path) must be an object, found \(part["source"]?.kind ?? "none")", parameter: parameter)
        }
        func member(_ name: String) throws(APIError) -> String {
            guard let text = source[name]?.string else {
                throw .invalid(
                    "\(path).\(name) must be a string, found \(source[name]?.kind ?? "none")",
                    parameter: parameter)
            }
            return text
        }
        switch source["type"]?.string {
        case "base64":
            let type = try member("media_type").lowercased()
            guard type.hasPrefix("image/") else {
                throw .invalid(
                    "\(path).media_type must be an image's, found \(MediaSource.beginning(of: type))",
                    parameter: parameter)
            }
            let field = path + ".data"
            return MediaReference(
                source: try MediaSource(base64: member("data"), field: field, parameter: parameter),
                field: field, parameter: parameter)
        case "url":
            let field = path + ".url"
            return MediaReference(
                source: try MediaSource(url: member("url"), field: field, parameter: parameter), field: field,
                parameter: parameter)
        default:
            throw .invalid(
                "\(path).type must be base64 or url, found \(Self.shown(source["type"]))",
                parameter: parameter)
        }
    }

    fileprivate static func shown(_ value: JSONValue?) -> String {
        value?.string.map(MediaSource.beginning) ?? value?.kind ?? "none"
    }
}

extension RequestFields {
    /// The images of LightLLM's `multimodal_params`, in order:
    /// `{"images": [{"type": "url" or "base64", "data": …}]}`.
    mutating func images(acceptsImages: Bool) throws(APIError) -> [MediaReference] {
        let parameter = "multimodal_params"
        guard let value = value(parameter), !value.isNothing else { return [] }
        var inner = try RequestFields(value, path: name(parameter))
        let field = inner.name("images")
        let images = inner.value("images") ?? []
        for other in inner.ignored {
            try inner.refuse(other) { $0.isNothing }
        }
        guard let list = images.array else {
            throw .invalid("\(field) must be a list, found \(images.kind)", parameter: parameter)
        }
        guard acceptsImages || list.isEmpty else {
            throw .invalid("\(field): this model reads text only", parameter: parameter)
        }
        var references: [MediaReference] = []
        for (index, image) in list.enumerated() {
            references.append(try Self.image(image, "\(field)[\(index)]", parameter))
        }
        return references
    }

    private static func image(
        _ value: JSONValue, _ path: String, _ parameter: String
    ) throws(APIError) -> MediaReference {
        guard value.object != nil else {
            throw .invalid("\(path) must be an object, found \(value.kind)", parameter: parameter)
        }
        let field = path + ".data"
        guard let data = value["data"]?.string else {
            throw .invalid(
                "\(field) must be a string, found \(value["data"]?.kind ?? "none")", parameter: parameter)
        }
        let source: MediaSource
        switch value["type"]?.string {
        case "url": source = try MediaSource(url: data, field: field, parameter: parameter)
        case "base64": source = try MediaSource(base64: data, field: field, parameter: parameter)
        default:
            throw .invalid(
                "\(path).type must be url or base64, found \(MediaReference.shown(value["type"]))",
                parameter: parameter)
        }
        return MediaReference(source: source, field: field, parameter: parameter)
    }
}
