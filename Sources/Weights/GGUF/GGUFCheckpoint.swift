import JSON
import OrderedCollections
import Tensors

/// A GGUF file read as the Hugging Face checkpoint it was made from.
struct GGUFCheckpoint: Checkpoint {
    let path: String
    let configuration: JSONValue
    let generationConfiguration: JSONValue? = nil
    private let file: GGUFFile
    /// The file's names by Hugging Face's.
    private let names: [String: String]

    init(path: String) throws(CheckpointError) {
        file = try GGUFFile(path: path)
        self.path = path
        let family = try file.family(path: path)
        configuration = try file.configuration(family, path: path)
        names = Dictionary(
            file.entries.keys.map { (family.name($0), $0) }, uniquingKeysWith: { first, _ in first })
    }

    var metadata: GGUFMetadata? { file.metadata }

    var byteCount: Int { file.bytes.count }

    var tensorNames: [String] { Array(names.keys) }

    func tensor(_ name: String) throws(CheckpointError) -> HostTensor? {
        guard let original = names[name], let tensor = try file.tensor(original) else { return nil }
        // The converter drops the dimension of the one output.
        guard name.hasSuffix(".shared_expert_gate.weight"), tensor.shape.count == 1 else { return tensor }
        return HostTensor(encoding: tensor.encoding, shape: [1] + tensor.shape, bytes: tensor.bytes)
    }
}

extension GGUFFile {
    fileprivate var architecture: String? { metadata.string("general.architecture") }

    fileprivate func key(_ name: String) -> String { (architecture ?? "") + "." + name }

    fileprivate func family(path: String) throws(CheckpointError) -> GGUFFamily {
        guard let architecture else {
            throw .malformed(file: path, "general.architecture is missing")
        }
        // A model of a family nobody knows is refused by its name later on.
        let family =
            GGUFFamily.named(architecture)
            ?? GGUFFamily(modelType: architecture, layer: [:], keys: GGUFFamily.commonKeys)
        return architecture == "llama" && metadata.integer(key("expert_count")) ?? 0 > 0
            ? family.withExperts : family
    }

    /// The metadata as config.json would say it.
    fileprivate func configuration(
        _ family: GGUFFamily, path: String
    ) throws(CheckpointError) -> JSONValue {
        var config = family.constants
        config["model_type"] = .string(family.modelType)
        for (name, configKey) in family.keys {
            if metadata.isArray(key(name)) {
                throw .malformed(file: path, "\(key(name)) differs by layer, which is not supported")
            }
            if let value = metadata.integer(key(name)) {
                config[JSONKey(configKey)] = .integer(value)
            } else if let value = metadata.number(key(name)) {
                config[JSONKey(configKey)] = .number(value)
            } else if let value = metadata.bool(key(name)) {
                config[JSONKey(configKey)] = .bool(value)
            }
        }
        guard let vocabulary = entries["token_embd.weight"]?.shape.first else {
            throw .missingTensor("token_embd.weight", expected: [])
        }
        config[family.modelType == "chatglm" ? "padded_vocab_size" : "vocab_size"] = .integer(vocabulary)
        config["tie_word_embeddings"] = .bool(entries["output.weight"] == nil)
        config["rope_interleaved"] = .bool(family.rotatesNeighbours)
        config["rope_scaling"] = try ropeScaling(path: path)
        addWhatDiffers(&config, family)
        return .object(config)
    }

    private func ropeScaling(path: String) throws(CheckpointError) -> JSONValue? {
        // The factors are tensors.
        let isLong = entries["rope_factors_long.weight"] != nil
        guard let type = isLong ? "longrope" : metadata.string(key("rope.scaling.type")), type != "none"
        else { return nil }
        var scaling: JSONValue.Members = ["rope_type": .string(type)]
        scaling["factor"] = metadata.number(key("rope.scaling.factor")).map { .number($0) }
        scaling["original_max_position_embeddings"] =
            metadata.integer(key("rope.scaling.original_context_length")).map { .integer($0) }
        scaling["attention_factor"] = metadata.number(key("rope.scaling.attn_factor")).map { .number($0) }
        // A tenth of it, which the paper's formula has as a factor.
        if let multiplier = metadata.number(key("rope.scaling.yarn_log_multiplier")) {
            scaling["mscale"] = .number(10 * multiplier)
            scaling["mscale_all_dim"] = .number(10 * multiplier)
        }
        return .object(scaling)
    }

    /// What no table of keys can say.
    private func addWhatDiffers(_ config: inout JSONValue.Members, _ family: GGUFFamily) {
        let heads = metadata.integer(key("attention.head_count")) ?? 0
        let hidden = metadata.integer(key("embedding_length")) ?? 0
        let layers = metadata.integer(key("block_count")) ?? 0
        let width = metadata.integer(key("attention.key_length")) ?? (heads > 0 ? hidden / heads : 0)
        let rotated = metadata.integer(key("rope.dimension_count")) ?? width
        switch family.modelType {
        case "chatglm":
            config["rope_ratio"] = metadata.number(key("rope.freq_base")).map { .number($0 / 10_000) }
        case "deepseek_v2":
            // Files for absorbed attention say how wide keys are in the latent space, and heads beside.
            let head = metadata.integer(key("attention.key_length_mla")) ?? width
            config["head_dim"] = .integer(head)
            config["num_key_value_heads"] = .integer(heads)
            config["qk_nope_head_dim"] = .integer(head - rotated)
            if let value = metadata.integer(key("attention.value_length_mla")) {
                config["v_head_dim"] = .integer(value)
            }
            let isGrouped = metadata.integer(key("expert_group_count")) ?? 0 > 1
            config["topk_method"] = .string(isGrouped ? "group_limited_greedy" : "greedy")
        case "minicpm":
            let residual = metadata.number(key("residual_scale"))
            config["scale_depth"] = .number(residual.map { $0 * Double(layers).squareRoot() } ?? 1.4)
            config["scale_emb"] = config["scale_emb"] ?? .integer(12)
            let logits = metadata.number(key("logit_scale"))
            config["dim_model_base"] = .number(logits.map { Double(hidden) / $0 } ?? 256)
        case "gemma2", "gemma3_text":
            // The largest models divide by the width that a head would have, the others by what it has.
            let isLargest = layers == (family.modelType == "gemma2" ? 46 : 62) && heads > 0
            config["query_pre_attn_scalar"] = .integer(isLargest ? hidden / heads : width)
        case "cohere", "stablelm":
            let hasNorms = entries["blk.0.attn_q_norm.weight"] != nil
            config[family.modelType == "cohere" ? "use_qk_norm" : "qk_layernorm"] = .bool(hasNorms)
            if family.modelType == "stablelm", entries["blk.0.ffn_norm.weight"] == nil {
                config["use_parallel_residual"] = .bool(true)
            }
        default: break
        }
        if rotated != width, width > 0, family.modelType != "deepseek_v2" {
            config["partial_rotary_factor"] = .number(Double(rotated) / Double(width))
        }
        if family.modelType == "stablelm", config["partial_rotary_factor"] == nil {
            config["partial_rotary_factor"] = .integer(1)
        }
    }
}
