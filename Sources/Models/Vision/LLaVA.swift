import Images
public import JSON
public import Layers
internal import Tensors
public import Weights

/// LLaVA 1.5 (arXiv 2310.03744): CLIP's features of the whole image, through two projections, stand where the prompt says
/// `<image>`; any text architecture reads them. Checkpoints come as Hugging Face's class saves them or as the original
/// project does, whose CLIP is in a folder of its own.
public enum LLaVA: Architecture {
    public static let modelTypes = ["llava", "llava_llama", "llava_mistral"]

    public static func build(_ config: LLaVAConfig, _ weights: Parameters) throws -> VisionLanguageModel {
        let form = Form(weights)
        let text = try config.textConfig.build(form.text(weights))
        guard let images = weights.forImages else {
            for part in [form.projector, "vision_tower", "model.vision_tower"] {
                weights[part].disregardAll()
            }
            return VisionLanguageModel(text, nil)
        }
        // Trained checkpoints of the original may have their own copy of the tower.
        let copy = images["model.vision_tower.vision_tower.vision_model"]
        let hasCopy = copy["embeddings"].contains("class_embedding")
        images["vision_tower"].disregardAll()
        let tower = try tower(
            config, hasCopy ? copy : images["vision_tower.vision_model"],
            projector: form.projections.map { images[form.projector][$0] })
        var marks = ImageMarks(.tag("<image>"), text: "<image>\n")
        marks.placeholder = config.placeholder
        return VisionLanguageModel(text, TiledImageEncoder(tower, config.tiling, marks))
    }

    private static func tower(
        _ config: LLaVAConfig, _ weights: Parameters, projector: [Parameters]
    ) throws -> CLIPTower {
        guard let vision = config.visionConfig else {
            throw ConfigError.malformed(
                "mm_vision_tower (\(config.mmVisionTower ?? "none")) must name a folder of the checkpoint that has a CLIP model"
            )
        }
        let width = config.textConfig.width
        return try CLIPTower(
            vision, weights, depth: config.depth(of: vision), keepsClassToken: config.keepsClassToken,
            projector: PlainMLP(
                up: projector[0], down: projector[1], width: vision.hiddenSize, inner: width, outputs: width,
                activation: config.projectorHiddenAct ?? .gelu),
            width: width, normalization: config.preprocessorConfig.normalization(.clip))
    }

    /// Under which names checkpoints have the parts.
    private enum Form {
        case huggingFace, original

        init(_ weights: Parameters) {
            self = weights["model.mm_projector.0"].contains("weight") ? .original : .huggingFace
        }

        func text(_ weights: Parameters) -> Parameters {
            self == .original ? weights : weights["language_model"]
        }

        var projector: String { self == .original ? "model.mm_projector" : "multi_modal_projector" }
        var projections: [String] { self == .original ? ["0", "2"] : ["linear_1", "linear_2"] }
    }

    /// The original's configuration is that of its text model with a few keys more; Hugging Face's leaves out of its
    /// text part what LLaMA 7B has.
    public static func completed(_ configuration: JSONValue, of checkpoint: any Checkpoint) throws
        -> JSONValue
    {
        guard let text = configuration["text_config"] else {
            let type = configuration["model_type"]?.string == "llava_mistral" ? "mistral" : "llama"
            var parts: JSONValue = [
                "text_config": (["model_type": .string(type)] as JSONValue).completed(with: configuration)
            ]
            if let tower = try tower(configuration, of: checkpoint) {
                let config = tower.configuration
                parts = try parts.completed(with: ["vision_config": config["vision_config"] ?? config])
                    .withPreprocessor(of: tower)
            }
            return configuration.completed(with: parts)
        }
        let whole = text.completed(with: [
            "model_type": "llama", "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32,
            "num_attention_heads": 32, "vocab_size": 32000,
        ])
        return try (["text_config": whole] as JSONValue).completed(with: configuration)
            .withPreprocessor(of: checkpoint)
    }

    public static func companions(
        _ configuration: JSONValue, of checkpoint: any Checkpoint
    ) throws -> [String: any Checkpoint] {
        guard let tower = try tower(configuration, of: checkpoint) else { return [:] }
        return ["vision_tower": tower]
    }

    /// The folder of the checkpoint that `mm_vision_tower` names, by its path or by the last part of a hub's name.
    private static func tower(
        _ configuration: JSONValue, of checkpoint: any Checkpoint
    ) throws -> (any Checkpoint)? {
        guard let name = configuration["mm_vision_tower"]?.string else { return nil }
        let parts = name.split(separator: "/").filter { $0 != "." }
        guard !parts.contains(".."), let last = parts.last else { return nil }
        for folder in [parts.joined(separator: "/"), String(last)]
        where try checkpoint.json(folder + "/config.json") != nil {
            return try openCheckpoint(checkpoint.path + "/" + folder)
        }
        return nil
    }

    public static func ignores(_ tensor: String, _ config: LLaVAConfig) -> Bool {
        if let inner = tensor.removingPrefix("language_model.") { return config.textConfig.ignores(inner) }
        // Layers that the features do not go through.
        return config.textConfig.ignores(tensor) || tensor.contains("vision_tower.")
    }
}

public struct LLaVAConfig: Decodable, Sendable, ValidatedConfig {
    var textConfig: HeldModel
    var visionConfig: CLIPVisionConfig?
    var mmVisionTower: String?
    var imageTokenIndex: Int32?
    var imageTokenId: Int32?
    var visionFeatureLayer: Int?
    var mmVisionSelectLayer: Int?
    var visionFeatureSelectStrategy: String?
    var mmVisionSelectFeature: String?
    var projectorHiddenAct: Activation?
    var imageAspectRatio: String?
    var preprocessorConfig: PreprocessorConfig?

    /// What the original's code has in token ids.
    var placeholder: Int32 { imageTokenIndex ?? imageTokenId ?? -200 }

    var keepsClassToken: Bool {
        ["full", "cls_patch"].contains(visionFeatureSelectStrategy ?? mmVisionSelectFeature ?? "default")
    }

    /// Layers before the chosen hidden state, of which there are one more than layers.
    func depth(of vision: CLIPVisionConfig) throws(ConfigError) -> Int {
        let layer = visionFeatureLayer ?? mmVisionSelectLayer ?? -2
        let depth = layer < 0 ? vision.numHiddenLayers + 1 + layer : layer
        guard (0...vision.numHiddenLayers).contains(depth) else {
            throw .malformed(
                "vision_feature_layer must be one of \(vision.numHiddenLayers + 1) states, found \(layer)")
        }
        return depth
    }

    var tiling: WholeImage {
        if imageAspectRatio == "pad" {
            return .padded(
                (preprocessorConfig?.imageMean ?? PreprocessorConfig.Statistics.clip.mean).map {
                    UInt8(min(max($0 * 255, 0), 255))
                })
        }
        return preprocessorConfig?.doCenterCrop == false ? .stretched : .cropped
    }

    public func validate() throws(ConfigError) { try visionConfig?.validate() }
}

/// The whole image as one square.
enum WholeImage: ImageTiling {
    /// The shorter side fits, and of the longer one the middle is seen.
    case cropped
    /// Both sides fit.
    case stretched
    /// A square before it is resized, filled up with a colour.
    case padded([UInt8])

    var mostTiles: Int { 1 }

    /// What is filled up grows with the square of the longer side.
    var longestSide: Int { if case .padded = self { 8192 } else { .max } }

    func count(width: Int, height: Int) -> Int { 1 }

    func tiles(_ image: PixelImage, size: Int) -> [PixelImage] {
        switch self {
        case .stretched: return [image.resized(width: size, height: size, by: .bicubic)]
        case .padded(let color):
            let side = max(image.width, image.height)
            return [
                image.padded(toWidth: side, height: side, color: (color[0], color[1], color[2]))
                    .resized(width: size, height: size, by: .bicubic)
            ]
        case .cropped:
            let short = min(image.width, image.height)
            // A strip a pixel wide has a long side of any length, of which the middle is all that is seen.
            let long = max(image.width, image.height) * size / short
            let (width, height) = image.width <= image.height ? (size, long) : (long, size)
            return [
                image.resized(
                    width: width, height: height, by: .bicubic,
                    keeping: PixelRegion(
                        x: (width - size) / 2, y: (height - size) / 2, width: size, height: size))
            ]
        }
    }
}

extension String {
    func removingPrefix(_ prefix: String) -> String? {
        hasPrefix(prefix) ? String(dropFirst(prefix.count)) : nil
    }
}
