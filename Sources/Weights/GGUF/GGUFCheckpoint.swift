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
        configuration = try file.configuration(path: path)
        names = Dictionary(
            file.entries.keys.map { (huggingFaceName($0), $0) }, uniquingKeysWith: { first, _ in first })
    }

    var metadata: GGUFMetadata? { file.metadata }

    var byteCount: Int { file.bytes.count }

    var tensorNames: [String] { Array(names.keys) }

    func tensor(_ name: String) throws(CheckpointError) -> HostTensor? {
        guard let original = names[name] else { return nil }
        return try file.tensor(original)
    }
}

/// The name a tensor had before llama.cpp's converter renamed it; unknown names stay.
func huggingFaceName(_ name: String) -> String {
    let parts = name.split(separator: ".").map(String.init)
    if parts.count == 2, let stem = topLevelNames[parts[0]] { return stem + "." + parts[1] }
    if parts.count == 4, parts[0] == "blk", let stem = layerNames[parts[2]] {
        return "model.layers.\(parts[1]).\(stem).\(parts[3])"
    }
    return name
}

private let topLevelNames = [
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
]

private let layerNames = [
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
]

extension GGUFFile {
    /// The metadata as config.json would say it.
    func configuration(path: String) throws(CheckpointError) -> JSONValue {
        guard let architecture = metadata.string("general.architecture") else {
            throw .malformed(file: path, "general.architecture is missing")
        }
        func key(_ name: String) -> String { architecture + "." + name }
        var config: JSONValue.Members = ["model_type": .string(architecture)]
        for (name, configKey) in configKeys {
            if metadata.isArray(key(name)) {
                throw .malformed(file: path, "\(key(name)) differs by layer, which is not supported")
            }
            if let value = metadata.integer(key(name)) {
                config[JSONKey(configKey)] = .integer(value)
            } else if let value = metadata.number(key(name)) {
                config[JSONKey(configKey)] = .number(value)
            }
        }
        guard let vocabulary = entries["token_embd.weight"]?.shape.first else {
            throw .missingTensor("token_embd.weight", expected: [])
        }
        config["vocab_size"] = .integer(vocabulary)
        config["tie_word_embeddings"] = .bool(entries["output.weight"] == nil)
        // The converter reorders q and k of these so that rotated pairs are neighbours.
        config["rope_interleaved"] = .bool(architecture == "llama")
        config["rope_scaling"] = try ropeScaling(key, path: path)
        try requireFullRotation(key, path: path)
        return .object(config)
    }

    private func ropeScaling(_ key: (String) -> String, path: String) throws(CheckpointError) -> JSONValue? {
        guard let type = metadata.string(key("rope.scaling.type")), type != "none" else { return nil }
        var scaling: JSONValue.Members = ["rope_type": .string(type)]
        scaling["factor"] = metadata.number(key("rope.scaling.factor")).map { .number($0) }
        scaling["original_max_position_embeddings"] =
            metadata.integer(key("rope.scaling.original_context_length")).map { .integer($0) }
        scaling["attention_factor"] = metadata.number(key("rope.scaling.attn_factor")).map { .number($0) }
        return .object(scaling)
    }

    private func requireFullRotation(_ key: (String) -> String, path: String) throws(CheckpointError) {
        guard let rotated = metadata.integer(key("rope.dimension_count")),
            let hidden = metadata.integer(key("embedding_length")),
            let heads = metadata.integer(key("attention.head_count")), heads > 0
        else { return }
        let width = metadata.integer(key("attention.key_length")) ?? hidden / heads
        guard rotated == width else {
            throw .malformed(
                file: path, "\(key("rope.dimension_count")) is \(rotated), expected the head's \(width)")
        }
    }
}

/// Metadata keys, without the architecture, and the keys of config.json they become.
private let configKeys = [
    ("block_count", "num_hidden_layers"),
    ("embedding_length", "hidden_size"),
    ("feed_forward_length", "intermediate_size"),
    ("attention.head_count", "num_attention_heads"),
    ("attention.head_count_kv", "num_key_value_heads"),
    ("attention.key_length", "head_dim"),
    ("attention.layer_norm_rms_epsilon", "rms_norm_eps"),
    ("attention.sliding_window", "sliding_window"),
    ("context_length", "max_position_embeddings"),
    ("rope.freq_base", "rope_theta"),
]
