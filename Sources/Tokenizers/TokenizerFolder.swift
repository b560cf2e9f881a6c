import Foundation
public import JSON
import OrderedCollections

/// The tokenizer files of a Hugging Face folder.
public struct TokenizerFolder: Sendable {
    /// tokenizer_config.json, or an empty object.
    public let configuration: JSONValue
    private let path: String

    public init(path: String) throws(TokenizerError) {
        self.path = path
        configuration = try Self.json(path + "/tokenizer_config.json") ?? .object([:])
    }

    public func makeTokenizer() throws(TokenizerError) -> Tokenizer {
        guard let json = try Self.json(path + "/tokenizer.json") else { throw .notFound(path) }
        return try Tokenizer(json: json, additional: configuredTokens)
    }

    /// The content of `bos_token` and the like, which is a string or an object with one.
    public func specialToken(_ key: String) -> String? {
        configuration[key]?.string ?? configuration[key]?["content"]?.string
    }

    /// The chat template: chat_template.jinja, or what tokenizer_config.json or chat_template.json hold; of
    /// several named ones the default.
    public func chatTemplate() throws(TokenizerError) -> String? {
        if let data = FileManager.default.contents(atPath: path + "/chat_template.jinja") {
            return String(decoding: data, as: UTF8.self)
        }
        let entry =
            try Self.json(path + "/chat_template.json")?["chat_template"] ?? configuration["chat_template"]
        if let template = entry?.string { return template }
        let named = entry?.array ?? []
        return (named.first { $0["name"]?.string == "default" } ?? named.first)?["template"]?.string
    }

    private var configuredTokens: [AddedToken] {
        (configuration["added_tokens_decoder"]?.object ?? [:]).compactMap { key, entry in
            guard let id = Int32(key.string), id >= 0 else { return nil }
            return AddedToken(id: id, json: entry)
        }
    }

    private static func json(_ path: String) throws(TokenizerError) -> JSONValue? {
        guard let data = FileManager.default.contents(atPath: path) else { return nil }
        do { return try JSONValue(parsing: Array(data)) } catch { throw .malformed("\(path): \(error)") }
    }
}
