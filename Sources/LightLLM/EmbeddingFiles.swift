import Foundation
import JSON
import OrderedCollections
import Serving
import TextGeneration

extension EmbeddingStyle {
    /// As the files of sentence-transformers in `folder` say: modules.json, and the configuration of the pooling
    /// that it names. Without modules.json the last state, normalised. Throws `EmbeddingError` for modules that do
    /// something else.
    init(folder: String) throws {
        self.init()
        guard let modules = try Self.json(folder + "/modules.json")?.array else { return }
        isNormalized = false
        for module in modules {
            switch module["type"]?.string?.split(separator: ".").last.map(String.init) {
            case "Transformer": break
            case "Normalize": isNormalized = true
            case "Pooling":
                let path = folder + "/" + (module["path"]?.string ?? "1_Pooling") + "/config.json"
                guard let configuration = try Self.json(path) else { throw EmbeddingError.missing(path) }
                pooling = try Self.pooling(configuration)
            case let type: throw EmbeddingError.unsupported("the module \(type ?? "of no type")")
            }
        }
    }

    private static let modes: [(key: String, pooling: Pooling?)] = [
        ("pooling_mode_lasttoken", .last), ("pooling_mode_mean_tokens", .mean),
        ("pooling_mode_cls_token", .cls), ("pooling_mode_max_tokens", nil),
        ("pooling_mode_mean_sqrt_len_tokens", nil), ("pooling_mode_weightedmean_tokens", nil),
    ]

    private static func pooling(_ configuration: JSONValue) throws -> Pooling {
        let chosen = modes.filter { configuration[$0.key]?.bool ?? false }
        guard chosen.count == 1, let pooling = chosen[0].pooling else {
            throw EmbeddingError.unsupported(
                "pooling by " + (chosen.isEmpty ? "nothing" : chosen.map(\.key).joined(separator: " and ")))
        }
        return pooling
    }

    private static func json(_ path: String) throws -> JSONValue? {
        guard let data = FileManager.default.contents(atPath: path) else { return nil }
        return try JSONValue(parsing: Array(data))
    }
}

/// Why a model gives no embeddings.
public enum EmbeddingError: Error, Equatable, CustomStringConvertible {
    case missing(String)
    case unsupported(String)
    case scoresTexts(String)

    public var description: String {
        switch self {
        case .missing(let path): "\(path): no such file, though modules.json names it"
        case .unsupported(let what):
            "embeddings: \(what) is not supported; expected a transformer, pooling by the last token, the first or "
                + "the mean, and normalisation"
        case .scoresTexts(let name): "embeddings: \(name) is a reward model, whose head cannot be left out"
        }
    }
}
