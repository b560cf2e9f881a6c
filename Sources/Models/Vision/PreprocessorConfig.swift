import JSON
internal import Layers
import Weights

/// preprocessor_config.json: how images are brought to the form that a network was trained on.
public struct PreprocessorConfig: Decodable, Sendable {
    var imageMean: [Float]?
    var imageStd: [Float]?
    var rescaleFactor: Float?
    var minPixels: Int?
    var maxPixels: Int?
    var size: Size?
    var cropSize: Size?
    var doCenterCrop: Bool?

    /// A side of a square, or sides by name, or numbers of pixels.
    struct Size: Decodable, Sendable {
        var shortestEdge: Int?
        var longestEdge: Int?
        var height: Int?
        var width: Int?

        private enum Key: String, CodingKey { case shortestEdge, longestEdge, height, width }

        init(from decoder: any Decoder) throws {
            if let side = try? decoder.singleValueContainer().decode(Int.self) {
                shortestEdge = side
                return
            }
            let container = try decoder.container(keyedBy: Key.self)
            shortestEdge = try container.decodeIfPresent(Int.self, forKey: .shortestEdge)
            longestEdge = try container.decodeIfPresent(Int.self, forKey: .longestEdge)
            height = try container.decodeIfPresent(Int.self, forKey: .height)
            width = try container.decodeIfPresent(Int.self, forKey: .width)
        }

        var side: Int? { shortestEdge ?? height }
    }

    /// Where the numbers of pixels lie unless the file says otherwise.
    enum Statistics {
        case clip, imageNet

        var mean: [Float] {
            switch self {
            case .clip: [0.48145466, 0.4578275, 0.40821073]
            case .imageNet: [0.485, 0.456, 0.406]
            }
        }

        var deviation: [Float] {
            switch self {
            case .clip: [0.26862954, 0.26130258, 0.27577711]
            case .imageNet: [0.229, 0.224, 0.225]
            }
        }
    }

    func normalization(_ usual: Statistics) throws(ConfigError) -> PixelNormalization {
        let (mean, deviation) = (imageMean ?? usual.mean, imageStd ?? usual.deviation)
        guard mean.count == 3, deviation.count == 3, deviation.allSatisfy({ $0 > 0 }) else {
            throw .malformed(
                "image_mean and image_std must be three numbers each, found \(mean) and \(deviation)")
        }
        return PixelNormalization(mean: mean, deviation: deviation, scale: rescaleFactor ?? 1 / 255)
    }
}

extension Optional<PreprocessorConfig> {
    func normalization(_ usual: PreprocessorConfig.Statistics) throws(ConfigError) -> PixelNormalization {
        try self?.normalization(usual)
            ?? PixelNormalization(mean: usual.mean, deviation: usual.deviation)
    }
}

extension JSONValue {
    /// The configuration with that of the checkpoint's preprocessor as `preprocessor_config`.
    func withPreprocessor(of checkpoint: any Checkpoint) throws -> JSONValue {
        guard let preprocessor = try checkpoint.json("preprocessor_config.json") else { return self }
        return completed(with: ["preprocessor_config": preprocessor])
    }
}
