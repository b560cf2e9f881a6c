import Foundation
public import JSON
import OrderedCollections

/// The tokenizer files of a Hugging Face folder.
public struct TokenizerFolder: Sendable {
    /// The files that hold a vocabulary, the one that is preferred first.
    public enum Form: String, Sendable, CaseIterable {
        case json = "tokenizer.json"
        case sentencePiece = "tokenizer.model"
        case tekken = "tekken.json"
        case tiktoken = "qwen.tiktoken"
        case vocabularyAndMerges = "vocab.json"
    }

    private let path: String
    private let files: TokenizerConfiguration

    /// tokenizer_config.json, or an empty object.
    public var configuration: JSONValue { files.json }

    public init(path: String) throws(TokenizerError) {
        self.path = path
        files = TokenizerConfiguration(try Self.json(path + "/tokenizer_config.json") ?? .object([:]))
    }

    /// The forms that the folder has the vocabulary in.
    public var forms: [Form] {
        Form.allCases.filter { FileManager.default.fileExists(atPath: path + "/" + $0.rawValue) }
    }

    public func makeTokenizer() throws(TokenizerError) -> Tokenizer {
        guard let form = forms.first else {
            throw .notFound(path, expected: Form.allCases.map(\.rawValue))
        }
        return try makeTokenizer(from: form)
    }

    public func makeTokenizer(from form: Form) throws(TokenizerError) -> Tokenizer {
        switch form {
        case .json: return try Tokenizer(json: try requiredJSON(form), files)
        case .sentencePiece:
            let modelType = try Self.json(path + "/config.json")?["model_type"]?.string
            let model = try SentencePiece(SentencePieceProto(file: try contents(form)))
            return try Tokenizer(model, files, modelType: modelType)
        case .tekken: return try Tokenizer(tekken: try requiredJSON(form))
        case .tiktoken:
            let hasVision = try Self.json(path + "/config.json")?["visual"] != nil
            return try Tokenizer(qwen: try contents(form), files, hasVision: hasVision)
        case .vocabularyAndMerges:
            guard let merges = FileManager.default.contents(atPath: path + "/merges.txt") else {
                throw .notFound(path, expected: ["merges.txt"])
            }
            return try Tokenizer(
                vocabulary: try requiredJSON(form), merges: Array(merges),
                added: try Self.json(path + "/added_tokens.json") ?? .object([:]), files)
        }
    }

    /// The content of `bos_token` and the like, which is a string or an object with one.
    public func specialToken(_ key: String) -> String? { files.specialToken(key) }

    /// The chat template: chat_template.jinja, or what chat_template.json or tokenizer_config.json hold; of
    /// several named ones the default. Families whose files have none get that of their code.
    public func chatTemplate() throws(TokenizerError) -> String? {
        if let data = FileManager.default.contents(atPath: path + "/chat_template.jinja") {
            return String(decoding: data, as: UTF8.self)
        }
        let entry =
            try Self.json(path + "/chat_template.json")?["chat_template"] ?? configuration["chat_template"]
        if let template = entry?.string { return template }
        let named = entry?.array ?? []
        let chosen = named.first { $0["name"]?.string == "default" } ?? named.first
        return chosen?["template"]?.string ?? FamilyTemplate.template(of: files.tokenizerClass)
    }

    private func contents(_ form: Form) throws(TokenizerError) -> [UInt8] {
        guard let data = FileManager.default.contents(atPath: path + "/" + form.rawValue) else {
            throw .notFound(path, expected: [form.rawValue])
        }
        return Array(data)
    }

    private func requiredJSON(_ form: Form) throws(TokenizerError) -> JSONValue {
        guard let json = try Self.json(path + "/" + form.rawValue) else {
            throw .notFound(path, expected: [form.rawValue])
        }
        return json
    }

    private static func json(_ path: String) throws(TokenizerError) -> JSONValue? {
        guard let data = FileManager.default.contents(atPath: path) else { return nil }
        do { return try JSONValue(parsing: Array(data)) } catch { throw .malformed("\(path): \(error)") }
    }
}
