import Images
public import JSON
public import Layers
internal import Tensors
public import Weights

/// Qwen2-VL (arXiv 2409.12191) and Qwen2.5-VL (arXiv 2502.13923): images of any size, whose patches turn by row and column
/// and become a token each four; in the text these have a time, a row and a column.
public enum Qwen2VL: Architecture {
    public static let modelTypes = ["qwen2_vl", "qwen2_5_vl"]

    public static func build(_ config: Qwen2VLConfig, _ weights: Parameters) throws -> VisionLanguageModel {
        let text = try config.textConfig.build(weights)
        guard let images = weights.forImages else {
            weights["visual"].disregardAll()
            return VisionLanguageModel(text, nil)
        }
        var marks = ImageMarks(
            .between(.id(config.visionStartTokenId), .id(config.visionEndTokenId)),
            text: "<|vision_start|><|image_pad|><|vision_end|>")
        marks.placeholder = config.imageTokenId
        let encoder = try Qwen2VisionEncoder(
            config.visionConfig, images["visual"], pixels: config.pixels,
            normalization: config.preprocessorConfig.normalization(.clip), marks: marks)
        guard encoder.width == config.textConfig.width else {
            throw ConfigError.malformed(
                "vision_config's output (\(encoder.width)) must be hidden_size (\(config.textConfig.width))")
        }
        return VisionLanguageModel(text, encoder)
    }

    /// The text model's keys lie among the others.
    public static func completed(_ configuration: JSONValue, of checkpoint: any Checkpoint) throws
        -> JSONValue
    {
        let text = (configuration["text_config"] ?? [:]).completed(with: configuration)
        let own: JSONValue = ["model_type": "qwen2"]
        let parts: JSONValue = ["text_config": own.completed(with: text)]
        return try parts.completed(with: configuration).withPreprocessor(of: checkpoint)
    }

    public static func ignores(_ tensor: String, _ config: Qwen2VLConfig) -> Bool {
        config.textConfig.ignores(tensor)
    }
}

public struct Qwen2VLConfig: Decodable, Sendable, ValidatedConfig {
    var textConfig: HeldModel
    var visionConfig: Qwen2VisionConfig
    var visionStartTokenId: Int32
    var visionEndTokenId: Int32
    var imageTokenId: Int32
    var preprocessorConfig: PreprocessorConfig?
    var imageMaxTokens: Int?

    /// Within which number of pixels images are brought.
    var pixels: ClosedRange<Int> {
        let file = preprocessorConfig
        let least = file?.minPixels ?? file?.size?.shortestEdge ?? 56 * 56
        let most = file?.maxPixels ?? file?.size?.longestEdge ?? 28 * 28 * 1280
        let unit = visionConfig.patchSize * visionConfig.spatialMergeSize
        let (bound, overflow) = (imageMaxTokens ?? .max).multipliedReportingOverflow(by: unit * unit)
        let allowed = overflow ? most : min(most, bound)
        return min(least, allowed)...allowed
    }

    public func validate() throws(ConfigError) {
        try visionConfig.validate()
        let unit = visionConfig.patchSize * visionConfig.spatialMergeSize
        guard pixels.lowerBound >= 1, pixels.upperBound >= unit * unit, pixels.upperBound <= 1 << 30 else {
            throw .malformed(
                "min_pixels and max_pixels must be from \(unit * unit) to 2^30, found \(pixels)")
        }
    }
}

struct Qwen2VisionConfig: Decodable, Sendable, ValidatedConfig {
    var depth: Int
    var numHeads: Int
    var patchSize: Int
    var spatialMergeSize: Int
    var temporalPatchSize: Int
    var hiddenSize: Int
    var hiddenAct: Activation?
    // Qwen2-VL.
    var embedDim: Int?
    var mlpRatio: Double?
    // Qwen2.5-VL.
    var intermediateSize: Int?
    var outHiddenSize: Int?
    var windowSize: Int?
    var fullattBlockIndexes: [Int]?

    /// Columns of a patch's vector; Qwen2-VL calls the text model's `hidden_size`.
    var width: Int { embedDim ?? hiddenSize }
    var outputs: Int { embedDim == nil ? outHiddenSize ?? hiddenSize : hiddenSize }
    var heads: Heads { Heads(query: numHeads, keyValue: numHeads, width: width / numHeads) }

    /// Tokens of a window's side; nil where all patches of an image see each other in all layers.
    var window: Int? { windowSize.map { $0 / spatialMergeSize / patchSize } }

    func seesWindow(layer: Int) -> Bool {
        windowSize != nil && !(fullattBlockIndexes ?? []).contains(layer)
    }

    /// Rows turn the first half of the pairs, columns the other.
    var rotation: Rotation {
        let pairs = heads.width / 2
        let geometry = RopeGeometry(
            width: pairs, theta: 10_000, maxPositionEmbeddings: 1 << 20, pairing: .halves)
        return .rope(geometry, axes: 2)
    }

    func norm(_ weights: Parameters) throws -> any Normalization {
        embedDim == nil
            ? try RMSNorm(weights, width: width, epsilon: 1e-6)
            : try LayerNorm(weights, width: width, epsilon: 1e-6)
    }

    func feedForward(_ weights: Parameters) throws -> any FeedForward {
        if embedDim == nil {
            return try GatedMLP(
                weights, width: width, inner: intermediateSize ?? 4 * width, activation: hiddenAct ?? .silu)
        }
        let inner = Int(Double(width) * (mlpRatio ?? 4))
        return try PlainMLP(
            up: weights["fc1"], down: weights["fc2"], width: width, inner: inner,
            activation: hiddenAct ?? .quickGelu)
    }

    func validate() throws(ConfigError) {
        try requirePositive(
            ("depth", depth), ("patch_size", patchSize), ("spatial_merge_size", spatialMergeSize),
            ("temporal_patch_size", temporalPatchSize), ("hidden_size", hiddenSize), ("embed_dim", width),
            ("out_hidden_size", outputs), ("intermediate_size", intermediateSize ?? 1))
        try requireHeads(("num_heads", numHeads))
        try requireMultiple("embed_dim", width, of: "num_heads", numHeads)
        try requireMultiple("columns of a head", heads.width, of: "4", 4)
        guard patchSize <= 64, spatialMergeSize <= 8, temporalPatchSize <= 8 else {
            throw .malformed(
                "patch_size, spatial_merge_size and temporal_patch_size may be 64, 8 and 8 at most, found \(patchSize), \(spatialMergeSize) and \(temporalPatchSize)"
            )
        }
        let ratio = mlpRatio ?? 4
        guard ratio > 0, ratio < 64 else {
            throw .malformed("mlp_ratio must be in (0, 64), found \(ratio)")
        }
        if let window, window < 1 {
            throw .malformed("window_size must hold a token, found \(windowSize ?? 0)")
        }
    }
}
